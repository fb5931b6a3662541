# vmattest_reuse_pch(FOLDER): the libraries defined below FOLDER include the
# precompiled header of vmattest_pch. Programs do not: -fPIE would ask for one of
# their own.
function(vmattest_reuse_pch folder)
  get_property(targets DIRECTORY ${folder} PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(type ${target} TYPE)
    if(type STREQUAL STATIC_LIBRARY)
      target_precompile_headers(${target} REUSE_FROM vmattest_pch)
    endif()
  endforeach()
  get_property(folders DIRECTORY ${folder} PROPERTY SUBDIRECTORIES)
  foreach(below IN LISTS folders)
    vmattest_reuse_pch(${below})
  endforeach()
endfunction()
