vmattest_test(libvirt_disk_export_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/libvirt_disk_export_test.cc
  LIBS vmattest::hypervisor_libvirt vmattest::test_libvirt_host
       vmattest::crypto fmt::fmt
  LABELS integration TIMEOUT 600 COST 115)
