vmattest_fuzzer(document_fuzzer ${CMAKE_CURRENT_LIST_DIR}/document_fuzzer.cc
  LIBS vmattest::document vmattest::wire vmattest::proto)
target_include_directories(document_fuzzer PRIVATE ${CMAKE_SOURCE_DIR}/src)
vmattest_fuzzer(reference_fuzzer ${CMAKE_CURRENT_LIST_DIR}/reference_fuzzer.cc
  LIBS vmattest::reference)
target_include_directories(reference_fuzzer PRIVATE ${CMAKE_SOURCE_DIR}/src)
