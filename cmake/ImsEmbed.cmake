# SPDX-License-Identifier: Apache-2.0
#
# Run as a script at build time: writes a C++ source with the bytes of files, by their names without ending.
#   cmake -DOUTPUT=presets.cc -DHEADER=tools/config_preset.h -DTABLE=embedded_presets -P ImsEmbed.cmake FILE...
set(arrays)
set(rows)
set(past_script FALSE)
math(EXPR last "${CMAKE_ARGC} - 1")
foreach(i RANGE ${last})
  set(argument "${CMAKE_ARGV${i}}")
  if(past_script)
    cmake_path(GET argument STEM LAST_ONLY name)
    string(MAKE_C_IDENTIFIER "${name}" symbol)
    file(READ "${argument}" bytes HEX)
    string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
    string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n" bytes "${bytes}")
    string(APPEND arrays "static const unsigned char bytes_${symbol}[] = {\n${bytes}};\n")
    string(APPEND rows "    {\"${name}\", bytes_${symbol}, sizeof bytes_${symbol}},\n")
  elseif(argument MATCHES "ImsEmbed\\.cmake$")
    set(past_script TRUE)
  endif()
endforeach()
file(WRITE "${OUTPUT}" "// Made by cmake/ImsEmbed.cmake.\n#include \"${HEADER}\"\n\n${arrays}\nnamespace ims {\n"
                       "const EmbeddedFile ${TABLE}[] = {\n${rows}    {nullptr, nullptr, 0},\n};\n} // namespace ims\n")
