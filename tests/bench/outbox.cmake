vmattest_bench(outbox_bench ${CMAKE_CURRENT_LIST_DIR}/outbox_bench.cc
  LIBS vmattest::outbox vmattest::ledger vmattest::ledger_sqlite vmattest::wire
       vmattest::test_support fmt::fmt)
target_include_directories(outbox_bench PRIVATE ${CMAKE_SOURCE_DIR}/tests
                           ${CMAKE_SOURCE_DIR}/src)
