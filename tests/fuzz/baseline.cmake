vmattest_fuzzer(baseline_fuzzer ${CMAKE_CURRENT_LIST_DIR}/baseline_fuzzer.cc
  LIBS vmattest::baseline vmattest::wire vmattest::crypto)
target_include_directories(baseline_fuzzer PRIVATE ${CMAKE_SOURCE_DIR}/src
                           ${CMAKE_SOURCE_DIR}/tests)
