vmattest_bench(file_digest_bench SOURCES file_digest_bench.cc
  LIBS vmattest::image fmt::fmt)
target_include_directories(file_digest_bench PRIVATE ${CMAKE_SOURCE_DIR}/src)
