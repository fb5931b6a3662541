vmattest_bench(blake3_bench SOURCES blake3_bench.cc
  LIBS vmattest::crypto vmattest::blake3)
target_include_directories(blake3_bench PRIVATE ${CMAKE_SOURCE_DIR}/src)
