vmattest_test(verifierd_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/verifierd_test.cc
          ${CMAKE_SOURCE_DIR}/tests/support/https_receiver.cc
  LIBS vmattest::test_daemon vmattest::crypto OpenSSL::SSL nlohmann_json::nlohmann_json fmt::fmt
  LABELS integration rpc)
add_dependencies(verifierd_test vmattest-verifierd)
target_compile_definitions(verifierd_test PRIVATE
  VMATTEST_VERIFIERD_PROGRAM="$<TARGET_FILE:vmattest-verifierd>")
