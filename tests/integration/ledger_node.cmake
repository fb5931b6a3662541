vmattest_test(ledger_node_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/ledger_node_test.cc
  LIBS vmattest::ledger vmattest::cli_client vmattest::proto_grpc
       gRPC::grpc++ nlohmann_json::nlohmann_json fmt::fmt
  LABELS integration rpc)
add_dependencies(ledger_node_test vmattest-verifierd)
target_compile_definitions(ledger_node_test PRIVATE
  VMATTEST_VERIFIERD_PROGRAM="$<TARGET_FILE:vmattest-verifierd>")
set_target_properties(ledger_node_test PROPERTIES
  DISABLE_PRECOMPILE_HEADERS ON)

vmattest_test(ledger_cluster_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/ledger_cluster_test.cc
  LIBS vmattest::ledger vmattest::cli_client vmattest::test_etcd
       vmattest::test_daemon vmattest::proto_grpc gRPC::grpc++ fmt::fmt
  LABELS integration rpc TIMEOUT 600 COST 110)
add_dependencies(ledger_cluster_test vmattest-verifierd)
target_compile_definitions(ledger_cluster_test PRIVATE
  VMATTEST_VERIFIERD_PROGRAM="$<TARGET_FILE:vmattest-verifierd>")
set_target_properties(ledger_cluster_test PROPERTIES
  DISABLE_PRECOMPILE_HEADERS ON)
