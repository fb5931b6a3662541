vmattest_bench(memory_bench SOURCES memory_bench.cc
  LIBS vmattest::worker_memory vmattest::crypto)
target_include_directories(memory_bench PRIVATE ${CMAKE_SOURCE_DIR}/src)
