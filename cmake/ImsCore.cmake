# SPDX-License-Identifier: Apache-2.0
#
# The C library `iommusim` (iommusim::iommusim), with its CMake package and pkg-config file.
#
# All headers of its folders are public and installed, but for those named *_internal.h or *_impl.h. Tables that headers
# include (*.def, *.inc) go with them.
set(IMS_CORE_FOLDERS mem pgtable pasid iommu uapi)

set(core_sources)
set(IMS_PUBLIC_HEADERS)
set(core_tables)
foreach(folder IN LISTS IMS_CORE_FOLDERS)
  ims_glob_recurse(found "${PROJECT_SOURCE_DIR}/${folder}" *.c)
  list(APPEND core_sources ${found})
  ims_glob_recurse(found "${PROJECT_SOURCE_DIR}/${folder}" *.h)
  list(APPEND IMS_PUBLIC_HEADERS ${found})
  ims_glob_recurse(found "${PROJECT_SOURCE_DIR}/${folder}" *.def *.inc)
  list(APPEND core_tables ${found})
endforeach()
list(FILTER IMS_PUBLIC_HEADERS EXCLUDE REGEX "_(internal|impl)\\.h$")

add_library(iommusim ${core_sources})
add_library(iommusim::iommusim ALIAS iommusim)
ims_target_defaults(iommusim)
# It also becomes part of a shared library (shim/). Calls inside of it stay direct ones.
set_target_properties(iommusim PROPERTIES POSITION_INDEPENDENT_CODE ON)
target_compile_options(iommusim PRIVATE -fno-semantic-interposition)
set_target_properties(iommusim PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
target_sources(iommusim PUBLIC FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}" FILES ${IMS_PUBLIC_HEADERS}
                                                                                        ${core_tables})
# Language extensions are off, so mmap and its like have to be asked for. Empty, so that a file may say it too.
target_compile_definitions(iommusim PRIVATE _GNU_SOURCE=)

# Hash tables inside .c files. Header-only: the installed library does not need it.
find_path(UTHASH_INCLUDE_DIR uthash.h)
mark_as_advanced(UTHASH_INCLUDE_DIR)
if(NOT UTHASH_INCLUDE_DIR)
  message(FATAL_ERROR "uthash.h not found; scripts/setup installs it (package uthash-dev)")
endif()
target_include_directories(iommusim SYSTEM PRIVATE "${UTHASH_INCLUDE_DIR}")

# Installation. Users write #include "mem/mem.h", as the sources here do.
include(CMakePackageConfigHelpers)
set(ims_include_dir "${CMAKE_INSTALL_INCLUDEDIR}/iommusim")
set(ims_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/iommusim")
install(
  TARGETS iommusim
  EXPORT iommusimTargets
  FILE_SET HEADERS DESTINATION "${ims_include_dir}")
install(
  EXPORT iommusimTargets
  NAMESPACE iommusim::
  DESTINATION "${ims_package_dir}")
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/iommusimConfig.cmake.in"
                              "${PROJECT_BINARY_DIR}/iommusimConfig.cmake" INSTALL_DESTINATION "${ims_package_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/iommusimConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/iommusimConfig.cmake" "${PROJECT_BINARY_DIR}/iommusimConfigVersion.cmake"
        DESTINATION "${ims_package_dir}")

# pkg-config files name their prefix relative to themselves, so that the installed tree can be moved.
file(RELATIVE_PATH ims_pc_prefix "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
string(REGEX REPLACE "/$" "" ims_pc_prefix "${ims_pc_prefix}")
function(ims_pkgconfig name)
  configure_file("${PROJECT_SOURCE_DIR}/cmake/${name}.pc.in" "${PROJECT_BINARY_DIR}/${name}.pc" @ONLY)
  install(FILES "${PROJECT_BINARY_DIR}/${name}.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
endfunction()
ims_pkgconfig(iommusim)
