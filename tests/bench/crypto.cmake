vmattest_bench(blake3_bench SOURCES blake3_bench.cc
  LIBS vmattest::crypto vmattest::blake3)
target_include_directories(blake3_bench PRIVATE ${CMAKE_SOURCE_DIR}/src)
vmattest_bench(ml_dsa_bench SOURCES ml_dsa_bench.cc LIBS vmattest::crypto)
target_include_directories(ml_dsa_bench PRIVATE ${CMAKE_SOURCE_DIR}/src)
vmattest_bench(page_hash_bench SOURCES page_hash_bench.cc LIBS vmattest::crypto)
target_include_directories(page_hash_bench PRIVATE ${CMAKE_SOURCE_DIR}/src)
