foreach(fuzzer cel_fuzzer boot_log_fuzzer ima_log_fuzzer)
  vmattest_fuzzer(${fuzzer} ${CMAKE_CURRENT_LIST_DIR}/${fuzzer}.cc
    LIBS vmattest::eventlog vmattest::crypto)
  target_include_directories(${fuzzer} PRIVATE ${CMAKE_SOURCE_DIR}/src)
endforeach()
