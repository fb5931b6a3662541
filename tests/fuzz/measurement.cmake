vmattest_fuzzer(domain_xml_fuzzer
  ${CMAKE_CURRENT_LIST_DIR}/domain_xml_fuzzer.cc
  LIBS vmattest::measurement vmattest::config_tree)
target_include_directories(domain_xml_fuzzer PRIVATE ${CMAKE_SOURCE_DIR}/src)
vmattest_fuzzer(start_command_fuzzer
  ${CMAKE_CURRENT_LIST_DIR}/start_command_fuzzer.cc
  LIBS vmattest::measurement)
target_include_directories(start_command_fuzzer PRIVATE ${CMAKE_SOURCE_DIR}/src)
