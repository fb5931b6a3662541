vmattest_fuzzer(etcd_values_fuzzer
  ${CMAKE_CURRENT_LIST_DIR}/etcd_values_fuzzer.cc
  LIBS vmattest::ledger_etcd vmattest::verification_etcd)
target_include_directories(etcd_values_fuzzer PRIVATE ${CMAKE_SOURCE_DIR}/src)
