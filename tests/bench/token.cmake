vmattest_bench(token_bench SOURCES token_bench.cc
  LIBS vmattest::token vmattest::crypto)
target_include_directories(token_bench PRIVATE ${CMAKE_SOURCE_DIR}/src)
