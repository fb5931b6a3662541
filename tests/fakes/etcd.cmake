if(TARGET vmattest::etcd)
  add_library(vmattest_fake_key_values STATIC
    ${CMAKE_CURRENT_LIST_DIR}/fake_key_values.cc)
  add_library(vmattest::fake_key_values ALIAS vmattest_fake_key_values)
  target_include_directories(vmattest_fake_key_values PUBLIC
    ${CMAKE_SOURCE_DIR}/tests ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(vmattest_fake_key_values
    PUBLIC vmattest::etcd PRIVATE vmattest::options)
endif()
# Real servers.
if(TARGET vmattest::etcd_grpc)
  add_library(vmattest_test_etcd STATIC
    ${CMAKE_SOURCE_DIR}/tests/support/etcd_cluster.cc
    ${CMAKE_SOURCE_DIR}/tests/support/run_command.cc
    ${CMAKE_SOURCE_DIR}/tests/support/test_node.cc
    ${CMAKE_SOURCE_DIR}/tests/support/test_pki.cc)
  add_library(vmattest::test_etcd ALIAS vmattest_test_etcd)
  target_link_libraries(vmattest_test_etcd
    PUBLIC vmattest::test_support vmattest::etcd_grpc
    PRIVATE vmattest::options OpenSSL::Crypto fmt::fmt)
endif()
