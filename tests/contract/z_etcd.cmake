# What stands on etcd, and etcd itself: over the fake...
set(etcd_contract_sources
  ${CMAKE_CURRENT_LIST_DIR}/etcd_contract_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/etcd_log_store_contract_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/etcd_verifier_store_contract_test.cc
  ${log_store_contract_source} ${verifier_store_contract_source})
vmattest_test(etcd_contract_test
  SOURCES ${etcd_contract_sources}
  LIBS vmattest::fake_key_values vmattest::ledger vmattest::ledger_etcd
       vmattest::merkle
       vmattest::verification_etcd
  LABELS contract)
# ... and over real servers, which start once for all.
if(TARGET vmattest::test_etcd)
  vmattest_test(etcd_servers_contract_test
    SOURCES ${etcd_contract_sources}
    LIBS vmattest::fake_key_values vmattest::ledger vmattest::ledger_etcd
         vmattest::merkle vmattest::verification_etcd vmattest::test_etcd vmattest::rpc_channel
    LABELS contract integration rpc)
  target_compile_definitions(etcd_servers_contract_test
    PRIVATE VMATTEST_WITH_ETCD)
  # gRPC's macros differ from those of the precompiled header.
  set_target_properties(etcd_servers_contract_test PROPERTIES
    DISABLE_PRECOMPILE_HEADERS ON)
endif()
