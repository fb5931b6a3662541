# Needs a software TPM's test support: built when the tests are.
if(TARGET vmattest::test_swtpm)
  vmattest_bench(tpm_bench ${CMAKE_CURRENT_LIST_DIR}/tpm_bench.cc
    LIBS vmattest::tpm_esys vmattest::test_swtpm)
  target_include_directories(tpm_bench PRIVATE ${CMAKE_SOURCE_DIR}/src
    ${CMAKE_SOURCE_DIR}/tests)
endif()
