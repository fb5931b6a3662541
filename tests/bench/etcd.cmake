# Needs real servers: built when the tests are.
if(TARGET vmattest::test_etcd)
  vmattest_bench(etcd_bench ${CMAKE_CURRENT_LIST_DIR}/etcd_bench.cc
    LIBS vmattest::test_etcd vmattest::ledger vmattest::ledger_etcd
         vmattest::proto_etcd vmattest::rpc_channel vmattest::sqlite
         vmattest::test_support GTest::gmock fmt::fmt)
  target_include_directories(etcd_bench PRIVATE ${CMAKE_SOURCE_DIR}/tests)
endif()
