vmattest_test(vm_store_contract_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/vm_store_contract_test.cc
  LIBS vmattest::inventory_sqlite vmattest::fake_vm_store
  LABELS contract)
