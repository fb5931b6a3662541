if(TARGET vmattest-worker)
  vmattest_test(worker_inspector_test
    SOURCES ${CMAKE_CURRENT_LIST_DIR}/worker_inspector_test.cc
    LIBS vmattest::inspection_worker vmattest::hypervisor_libvirt vmattest::disk
         vmattest::test_libvirt_host fmt::fmt
    LABELS integration)
  target_compile_definitions(worker_inspector_test PRIVATE
    VMATTEST_WORKER="$<TARGET_FILE:vmattest-worker>")
  add_dependencies(worker_inspector_test vmattest-worker)
endif()
