# Needs real servers: built when the tests are.
if(TARGET vmattest::test_etcd)
  vmattest_bench(etcd_bench ${CMAKE_CURRENT_LIST_DIR}/etcd_bench.cc
    LIBS vmattest::test_etcd vmattest::ledger_etcd vmattest::proto_etcd
         vmattest::rpc_channel vmattest::test_support fmt::fmt)
endif()
