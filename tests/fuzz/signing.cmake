vmattest_fuzzer(signer_files_fuzzer
  ${CMAKE_CURRENT_LIST_DIR}/signer_files_fuzzer.cc
  LIBS vmattest::signing)
target_include_directories(signer_files_fuzzer PRIVATE ${CMAKE_SOURCE_DIR}/src)
