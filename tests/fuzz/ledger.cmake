vmattest_fuzzer(ledger_entry_fuzzer
  ${CMAKE_CURRENT_LIST_DIR}/ledger_entry_fuzzer.cc LIBS vmattest::ledger)
target_include_directories(ledger_entry_fuzzer PRIVATE ${CMAKE_SOURCE_DIR}/src)
vmattest_fuzzer(ledger_state_fuzzer
  ${CMAKE_CURRENT_LIST_DIR}/ledger_state_fuzzer.cc LIBS vmattest::ledger)
target_include_directories(ledger_state_fuzzer PRIVATE ${CMAKE_SOURCE_DIR}/src)
vmattest_fuzzer(tlog_fuzzer ${CMAKE_CURRENT_LIST_DIR}/tlog_fuzzer.cc
  LIBS vmattest::tlog)
target_include_directories(tlog_fuzzer PRIVATE ${CMAKE_SOURCE_DIR}/src)
vmattest_fuzzer(trust_state_fuzzer
  ${CMAKE_CURRENT_LIST_DIR}/trust_state_fuzzer.cc LIBS vmattest::trust)
target_include_directories(trust_state_fuzzer PRIVATE ${CMAKE_SOURCE_DIR}/src)
