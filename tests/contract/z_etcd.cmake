# One program, so that the servers start once.
vmattest_test(etcd_contract_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/etcd_contract_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/etcd_log_store_contract_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/etcd_verifier_store_contract_test.cc
          ${log_store_contract_source} ${verifier_store_contract_source}
  LIBS vmattest::fake_key_values vmattest::ledger_etcd
       vmattest::verification_etcd
  LABELS contract)
if(TARGET vmattest::test_etcd)
  target_link_libraries(etcd_contract_test PRIVATE vmattest::test_etcd
    vmattest::rpc_server)
  target_compile_definitions(etcd_contract_test PRIVATE VMATTEST_WITH_ETCD)
  # gRPC's macros differ from those of the precompiled header.
  set_target_properties(etcd_contract_test PROPERTIES
    DISABLE_PRECOMPILE_HEADERS ON)
endif()
