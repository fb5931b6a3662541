vmattest_fuzzer(gate_message_fuzzer
  ${CMAKE_CURRENT_LIST_DIR}/gate_message_fuzzer.cc
  LIBS vmattest::hook_checks vmattest::gate_protocol)
target_include_directories(gate_message_fuzzer PRIVATE ${CMAKE_SOURCE_DIR}/src)
vmattest_fuzzer(save_image_fuzzer
  ${CMAKE_CURRENT_LIST_DIR}/save_image_fuzzer.cc LIBS vmattest::gate_protocol)
target_include_directories(save_image_fuzzer PRIVATE ${CMAKE_SOURCE_DIR}/src)
