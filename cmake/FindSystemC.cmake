# SPDX-License-Identifier: Apache-2.0
#
# Finds SystemC with TLM-2.0 and offers it as SystemC::systemc. Used by the build, and installed with the package for
# those who ask for its component `model`.
#
# Looked for in this order: a target SystemC::systemc that is there already; SystemC's own CMake package
# (SystemCLanguage); SYSTEMC_HOME, as a CMake variable or in the environment; pkg-config; the usual places. Debian's
# libsystemc-dev has no CMake package.
#
# The library refuses, at link time, programs of another C++ standard than its own: that is tried here, once.
if(NOT TARGET SystemC::systemc)
  find_package(SystemCLanguage QUIET CONFIG)
endif()
if(NOT TARGET SystemC::systemc)
  find_package(PkgConfig QUIET)
  if(PkgConfig_FOUND)
    pkg_check_modules(PC_SYSTEMC QUIET systemc)
  endif()
  set(SystemC_hints ${SYSTEMC_HOME} $ENV{SYSTEMC_HOME})
  find_path(SYSTEMC_INCLUDE_DIR tlm HINTS ${SystemC_hints} ${PC_SYSTEMC_INCLUDE_DIRS} PATH_SUFFIXES include)
  find_library(SYSTEMC_LIBRARY systemc HINTS ${SystemC_hints} ${PC_SYSTEMC_LIBRARY_DIRS}
               PATH_SUFFIXES lib lib64 lib-linux64 lib-linuxaarch64)
  mark_as_advanced(SYSTEMC_INCLUDE_DIR SYSTEMC_LIBRARY)
  unset(SystemC_hints)
  if(SYSTEMC_INCLUDE_DIR AND SYSTEMC_LIBRARY)
    add_library(SystemC::systemc UNKNOWN IMPORTED GLOBAL)
    set_target_properties(SystemC::systemc PROPERTIES IMPORTED_LOCATION "${SYSTEMC_LIBRARY}"
                                                      INTERFACE_INCLUDE_DIRECTORIES "${SYSTEMC_INCLUDE_DIR}")
  endif()
endif()

if(TARGET SystemC::systemc)
  set(SystemC_target SystemC::systemc)
  if(NOT DEFINED SYSTEMC_LINKS)
    include(CheckCXXSourceCompiles)
    set(SystemC_libraries "${CMAKE_REQUIRED_LIBRARIES}")
    set(SystemC_standard "${CMAKE_CXX_STANDARD}")
    set(CMAKE_REQUIRED_LIBRARIES SystemC::systemc)
    set(CMAKE_CXX_STANDARD 17)
    check_cxx_source_compiles("#include <systemc>\nint sc_main(int, char **) { return sc_core::sc_is_running(); }"
                              SYSTEMC_LINKS)
    set(CMAKE_REQUIRED_LIBRARIES "${SystemC_libraries}")
    set(CMAKE_CXX_STANDARD "${SystemC_standard}")
    if(NOT SystemC_standard)
      unset(CMAKE_CXX_STANDARD)
    endif()
  endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  SystemC
  REQUIRED_VARS SystemC_target SYSTEMC_LINKS
  REASON_FAILURE_MESSAGE
    "SystemC with TLM-2.0, built for C++17 (Debian: libsystemc-dev, elsewhere set SYSTEMC_HOME)")
