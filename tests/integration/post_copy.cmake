vmattest_test(post_copy_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/post_copy_test.cc
  LIBS vmattest::hypervisor_libvirt vmattest::fake_hypervisor
       vmattest::test_libvirt_host fmt::fmt
  LABELS integration)
