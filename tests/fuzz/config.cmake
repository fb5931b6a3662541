vmattest_fuzzer(yaml_message_fuzzer
  ${CMAKE_CURRENT_LIST_DIR}/yaml_message_fuzzer.cc
  LIBS vmattest::config vmattest::yaml)
target_include_directories(yaml_message_fuzzer PRIVATE ${CMAKE_SOURCE_DIR}/src)
