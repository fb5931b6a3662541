vmattest_test(libvirt_hypervisor_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/libvirt_hypervisor_test.cc
  LIBS vmattest::hypervisor_libvirt vmattest::test_libvirt_host
       vmattest::fake_hypervisor fmt::fmt
  LABELS integration)
vmattest_test(libvirt_lifecycle_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/libvirt_lifecycle_test.cc
  LIBS vmattest::attestor vmattest::image vmattest::hypervisor_libvirt
       vmattest::inventory_sqlite vmattest::fake_vm_store
       vmattest::test_libvirt_host fmt::fmt
  LABELS integration)
vmattest_test(libvirt_firmware_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/libvirt_firmware_test.cc
  LIBS vmattest::attestor vmattest::image vmattest::hypervisor_libvirt
       vmattest::fake_hypervisor vmattest::test_libvirt_host fmt::fmt
  LABELS integration)
