add_library(vmattest_test_verifier STATIC
  ${CMAKE_SOURCE_DIR}/tests/support/verifier_process.cc)
add_library(vmattest::test_verifier ALIAS vmattest_test_verifier)
add_dependencies(vmattest_test_verifier vmattest-verifierd)
target_compile_definitions(vmattest_test_verifier PRIVATE
  VMATTEST_VERIFIERD_PROGRAM="$<TARGET_FILE:vmattest-verifierd>")
target_link_libraries(vmattest_test_verifier
  PUBLIC vmattest::test_daemon PRIVATE vmattest::options fmt::fmt)

vmattest_test(verifierd_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/verifierd_test.cc
          ${CMAKE_SOURCE_DIR}/tests/support/https_receiver.cc
  LIBS vmattest::test_verifier vmattest::token vmattest::crypto OpenSSL::SSL
       nlohmann_json::nlohmann_json fmt::fmt
  LABELS integration rpc)
vmattest_needs_pq(verifierd_test)
