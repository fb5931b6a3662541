vmattest_fuzzer(ipc_channel_fuzzer
  ${CMAKE_CURRENT_LIST_DIR}/ipc_channel_fuzzer.cc
  LIBS vmattest::signing_remote vmattest::ipc)
target_include_directories(ipc_channel_fuzzer PRIVATE ${CMAKE_SOURCE_DIR}/src)
