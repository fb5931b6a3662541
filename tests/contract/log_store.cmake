# The claims, for the programs that run them over their bodies.
set(log_store_contract_source
  ${CMAKE_CURRENT_LIST_DIR}/ledger_contract.cc
  ${CMAKE_CURRENT_LIST_DIR}/log_store_contract.cc)

set(ledger_fault_source
  ${CMAKE_CURRENT_LIST_DIR}/fault_writer.cc
  ${CMAKE_CURRENT_LIST_DIR}/ledger_fault_suite.cc)

vmattest_test(log_store_contract_test
  SOURCES ${log_store_contract_source} ${ledger_fault_source}
          ${CMAKE_CURRENT_LIST_DIR}/log_store_contract_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/sqlite_ledger_faults_contract_test.cc
  LIBS vmattest::ledger vmattest::ledger_sqlite vmattest::fake_log_store
       vmattest::merkle
  LABELS contract)
