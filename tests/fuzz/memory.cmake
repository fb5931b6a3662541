vmattest_fuzzer(migration_stream_fuzzer
  ${CMAKE_CURRENT_LIST_DIR}/migration_stream_fuzzer.cc LIBS vmattest::memory_stream)
target_include_directories(migration_stream_fuzzer PRIVATE
  ${CMAKE_SOURCE_DIR}/tests ${CMAKE_SOURCE_DIR}/src)
