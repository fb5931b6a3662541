vmattest_bench(ledger_bench ${CMAKE_CURRENT_LIST_DIR}/ledger_bench.cc
                            ${CMAKE_CURRENT_LIST_DIR}/ledger_audit_bench.cc
                            ${CMAKE_CURRENT_LIST_DIR}/ledger_goal_bench.cc
  LIBS vmattest::ledger vmattest::ledger_sqlite vmattest::merkle
       vmattest::test_support GTest::gmock fmt::fmt)
target_include_directories(ledger_bench PRIVATE ${CMAKE_SOURCE_DIR}/tests
                           ${CMAKE_SOURCE_DIR}/src)
