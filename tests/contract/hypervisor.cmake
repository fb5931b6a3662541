vmattest_test(hypervisor_contract_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/hypervisor_contract_test.cc
  LIBS vmattest::hypervisor_libvirt vmattest::fake_hypervisor
       PkgConfig::LIBVIRT fmt::fmt
  LABELS contract)
