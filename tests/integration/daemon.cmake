add_library(vmattest_test_daemon STATIC
  ${CMAKE_SOURCE_DIR}/tests/support/daemon_process.cc
  ${CMAKE_SOURCE_DIR}/tests/support/test_node.cc
  ${CMAKE_SOURCE_DIR}/tests/support/test_pki.cc)
add_library(vmattest::test_daemon ALIAS vmattest_test_daemon)
add_dependencies(vmattest_test_daemon vmattest vmattestd vmattest-signer
  vmattest-worker vmattest-header-worker vmattest-memory-worker
  vmattest-resume-guard)
target_compile_definitions(vmattest_test_daemon PRIVATE
  VMATTEST_DAEMON_PROGRAM="$<TARGET_FILE:vmattestd>"
  VMATTEST_CLI_PROGRAM="$<TARGET_FILE:vmattest>")
target_link_libraries(vmattest_test_daemon
  PUBLIC vmattest::test_support vmattest::test_swtpm
  PRIVATE vmattest::options OpenSSL::Crypto fmt::fmt)

vmattest_test(daemon_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/daemon_test.cc
  LIBS vmattest::test_daemon fmt::fmt
  LABELS integration rpc)
vmattest_test(evidence_path_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/evidence_path_test.cc
  LIBS vmattest::test_daemon vmattest::test_libvirt_host fmt::fmt
  LABELS integration rpc)
vmattest_test(evidence_depth_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/evidence_depth_test.cc
  LIBS vmattest::test_daemon vmattest::test_libvirt_host fmt::fmt
  LABELS integration rpc)
vmattest_needs_pq(evidence_depth_test)
vmattest_test(readme_calls_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/readme_calls_test.cc
  LIBS vmattest::test_daemon vmattest::cli_client fmt::fmt
  LABELS integration rpc)
target_compile_definitions(readme_calls_test PRIVATE
  VMATTEST_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
set_target_properties(readme_calls_test PROPERTIES
  DISABLE_PRECOMPILE_HEADERS ON)
