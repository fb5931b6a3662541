vmattest_bench(baseline_bench SOURCES baseline_bench.cc
  LIBS vmattest::baseline vmattest::wire vmattest::crypto)
target_include_directories(baseline_bench PRIVATE ${CMAKE_SOURCE_DIR}/src
                           ${CMAKE_SOURCE_DIR}/tests)
