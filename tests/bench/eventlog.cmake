vmattest_bench(eventlog_bench SOURCES eventlog_bench.cc
  LIBS vmattest::eventlog vmattest::crypto)
target_include_directories(eventlog_bench PRIVATE ${CMAKE_SOURCE_DIR}/src
  ${CMAKE_SOURCE_DIR}/tests)
