vmattest_test(etcd_faults_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/etcd_faults_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/etcd_ledger_faults_test.cc
  LIBS vmattest::test_etcd vmattest::ledger vmattest::ledger_etcd
       vmattest::ledger_sqlite vmattest::outbox vmattest::rpc_channel fmt::fmt
  LABELS integration rpc COST 60)
set_target_properties(etcd_faults_test PROPERTIES
  DISABLE_PRECOMPILE_HEADERS ON)

vmattest_test(shared_verifiers_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/shared_verifiers_test.cc
  LIBS vmattest::test_etcd vmattest::rpc_channel vmattest::test_verifier
       fmt::fmt
  LABELS integration rpc)
set_target_properties(shared_verifiers_test PROPERTIES
  DISABLE_PRECOMPILE_HEADERS ON)
