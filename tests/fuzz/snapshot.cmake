vmattest_fuzzer(snapshot_fuzzer ${CMAKE_CURRENT_LIST_DIR}/snapshot_fuzzer.cc
  LIBS vmattest::snapshot vmattest::wire)
target_include_directories(snapshot_fuzzer PRIVATE ${CMAKE_SOURCE_DIR}/src)
