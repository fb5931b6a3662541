vmattest_test(guest_control_contract_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/guest_control_contract_test.cc
  LIBS vmattest::hypervisor_libvirt vmattest::fake_hypervisor
       vmattest::test_libvirt_host fmt::fmt
  LABELS contract no-sanitizer)
