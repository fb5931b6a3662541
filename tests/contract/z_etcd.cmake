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

  # Faults, with a server of their own and a client to be killed.
  add_executable(etcd_fault_writer ${CMAKE_CURRENT_LIST_DIR}/etcd_fault_writer.cc
                                   ${CMAKE_CURRENT_LIST_DIR}/fault_writer.cc)
  target_link_libraries(etcd_fault_writer PRIVATE vmattest::options
    vmattest::test_support vmattest::ledger vmattest::ledger_etcd vmattest::merkle
    vmattest::etcd_grpc vmattest::rpc_channel)
  vmattest_test(etcd_ledger_faults_contract_test
    SOURCES ${ledger_fault_source}
            ${CMAKE_CURRENT_LIST_DIR}/etcd_ledger_faults_contract_test.cc
    LIBS vmattest::ledger vmattest::ledger_etcd vmattest::merkle
         vmattest::test_etcd vmattest::rpc_channel fmt::fmt
    LABELS contract integration rpc COST 30)
  add_dependencies(etcd_ledger_faults_contract_test etcd_fault_writer)
  target_compile_definitions(etcd_ledger_faults_contract_test PRIVATE
    VMATTEST_ETCD_FAULT_WRITER="$<TARGET_FILE:etcd_fault_writer>")
  set_target_properties(etcd_fault_writer etcd_ledger_faults_contract_test PROPERTIES
    DISABLE_PRECOMPILE_HEADERS ON)
endif()
