vmattest_bench(measurement_bench
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/measurement_bench.cc
  LIBS vmattest::measurement LibXml2::LibXml2 fmt::fmt)
target_compile_definitions(measurement_bench PRIVATE
  VMATTEST_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
target_include_directories(measurement_bench PRIVATE ${CMAKE_SOURCE_DIR}/src)
