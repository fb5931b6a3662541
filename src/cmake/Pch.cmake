# vmattest_reuse_pch(FOLDER): the libraries defined below FOLDER include the
# precompiled header of vmattest_pch. Programs do not: -fPIE would ask for one of
# their own.
function(vmattest_reuse_pch folder)
  get_property(targets DIRECTORY ${folder} PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(type ${target} TYPE)
    if(type STREQUAL STATIC_LIBRARY)
      target_precompile_headers(${target} REUSE_FROM vmattest_pch)
      # GCC 12 warns falsely of a moved std::string (its bug 105329) once
      # <string> comes precompiled.
      if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
        target_compile_options(${target} PRIVATE -Wno-array-bounds -Wno-restrict
          -Wno-stringop-overread -Wno-stringop-overflow)
      endif()
    endif()
  endforeach()
  get_property(folders DIRECTORY ${folder} PROPERTY SUBDIRECTORIES)
  foreach(below IN LISTS folders)
    vmattest_reuse_pch(${below})
  endforeach()
endfunction()
