vmattest_fuzzer(token_fuzzer ${CMAKE_CURRENT_LIST_DIR}/token_fuzzer.cc
  LIBS vmattest::token vmattest::crypto)
target_include_directories(token_fuzzer PRIVATE ${CMAKE_SOURCE_DIR}/src)
