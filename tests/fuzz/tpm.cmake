vmattest_fuzzer(tpm_reply_fuzzer ${CMAKE_CURRENT_LIST_DIR}/tpm_reply_fuzzer.cc
  LIBS vmattest::tpm_esys vmattest::crypto)
vmattest_fuzzer(pin_file_fuzzer ${CMAKE_CURRENT_LIST_DIR}/pin_file_fuzzer.cc
  LIBS vmattest::tpm_esys)
foreach(fuzzer tpm_reply_fuzzer pin_file_fuzzer)
  target_include_directories(${fuzzer} PRIVATE ${CMAKE_SOURCE_DIR}/src)
endforeach()
