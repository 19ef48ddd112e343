# SPDX-License-Identifier: Apache-2.0
#
# What all targets of the project share: language standards, warnings, sanitizers; and the search for sources.

# Warnings are made errors by CMAKE_COMPILE_WARNING_AS_ERROR, which the presets set.
set(IMS_WARNINGS -Wall -Wextra -Wshadow)
set(IMS_C_WARNINGS -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla)

function(ims_target_defaults target)
  set_target_properties(
    ${target}
    PROPERTIES C_STANDARD 17
               C_STANDARD_REQUIRED ON
               C_EXTENSIONS OFF
               CXX_STANDARD 17
               CXX_STANDARD_REQUIRED ON
               CXX_EXTENSIONS OFF)
  target_compile_options(${target} PRIVATE ${IMS_WARNINGS} "$<$<COMPILE_LANGUAGE:C>:${IMS_C_WARNINGS}>")
  if(IMS_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${IMS_SANITIZE} -fno-sanitize-recover=all
                                             -fno-omit-frame-pointer)
    target_link_options(${target} PRIVATE -fsanitize=${IMS_SANITIZE})
  endif()
  if(IMS_FUZZ)
    # fuzzer-no-link instruments for coverage; only the fuzz targets themselves bring in libFuzzer's main.
    target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
                                             -fno-omit-frame-pointer)
    target_link_options(${target} PRIVATE -fsanitize=address,undefined)
  endif()
endfunction()

# The files of one folder, not of the folders below it, that match the patterns.
function(ims_glob result folder)
  list(TRANSFORM ARGN PREPEND "${folder}/" OUTPUT_VARIABLE patterns)
  file(GLOB found CONFIGURE_DEPENDS ${patterns})
  set(${result} ${found} PARENT_SCOPE)
endfunction()

# The files of a folder and of all folders below it.
function(ims_glob_recurse result folder)
  list(TRANSFORM ARGN PREPEND "${folder}/" OUTPUT_VARIABLE patterns)
  file(GLOB_RECURSE found CONFIGURE_DEPENDS ${patterns})
  set(${result} ${found} PARENT_SCOPE)
endfunction()
