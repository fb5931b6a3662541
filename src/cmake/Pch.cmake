set(VMATTEST_PCH_HEADERS
  <algorithm> <chrono> <cstdint> <filesystem> <functional> <map> <memory>
  <optional> <set> <span> <string> <string_view> <utility> <vector>
  <absl/status/status.h> <absl/status/statusor.h> <fmt/format.h>
  <nlohmann/json.hpp>)

# vmattest_pch(NAME LIBS libs... [HEADERS headers...]): a target whose precompiled
# header others reuse: what most sources include, and the headers named.
function(vmattest_pch name)
  cmake_parse_arguments(P "" "" "LIBS;HEADERS" ${ARGN})
  file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/${name}.cc "")
  add_library(${name} OBJECT ${CMAKE_CURRENT_BINARY_DIR}/${name}.cc)
  target_link_libraries(${name} PRIVATE vmattest::options Threads::Threads ${P_LIBS})
  target_precompile_headers(${name} PRIVATE ${VMATTEST_PCH_HEADERS} ${P_HEADERS})
endfunction()

# GCC 12 warns falsely of a moved std::string (its bug 105329) once <string> comes
# precompiled.
set(VMATTEST_PCH_OPTIONS)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  set(VMATTEST_PCH_OPTIONS -Wno-array-bounds -Wno-restrict -Wno-stringop-overread
    -Wno-stringop-overflow)
endif()

# vmattest_use_pch(TARGET PCH): a library includes the precompiled header of PCH.
function(vmattest_use_pch target pch)
  target_precompile_headers(${target} REUSE_FROM ${pch})
  target_compile_options(${target} PRIVATE ${VMATTEST_PCH_OPTIONS})
endfunction()

# vmattest_reuse_pch(FOLDER PCH): so do the libraries defined below FOLDER that
# have none yet. Programs do not: -fPIE would ask for one of their own.
function(vmattest_reuse_pch folder pch)
  get_property(targets DIRECTORY ${folder} PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(type ${target} TYPE)
    get_target_property(has ${target} PRECOMPILE_HEADERS_REUSE_FROM)
    if(type STREQUAL STATIC_LIBRARY AND NOT has)
      vmattest_use_pch(${target} ${pch})
    endif()
  endforeach()
  get_property(folders DIRECTORY ${folder} PROPERTY SUBDIRECTORIES)
  foreach(below IN LISTS folders)
    vmattest_reuse_pch(${below} ${pch})
  endforeach()
endfunction()
