if(TARGET vmattest-guestfs-worker)
  vmattest_test(guestfs_worker_test
    SOURCES ${CMAKE_CURRENT_LIST_DIR}/guestfs_worker_test.cc
    LIBS vmattest::inspection_worker vmattest::hypervisor_libvirt
         vmattest::crypto vmattest::test_libvirt_host fmt::fmt
    LABELS integration TIMEOUT 900 COST 210)
  # In folders that tests share, so that the kernel is downloaded once.
  target_compile_definitions(guestfs_worker_test PRIVATE
    VMATTEST_WORKER="$<TARGET_FILE:vmattest-worker>"
    VMATTEST_GUESTFS_WORKER="$<TARGET_FILE:vmattest-guestfs-worker>"
    VMATTEST_MAKE_APPLIANCE="${CMAKE_SOURCE_DIR}/tests/support/testbed/make-appliance"
    VMATTEST_APPLIANCE="${CMAKE_SOURCE_DIR}/build/appliance"
    VMATTEST_GUEST="${CMAKE_SOURCE_DIR}/build/guest")
  add_dependencies(guestfs_worker_test vmattest-worker vmattest-guestfs-worker)
endif()
