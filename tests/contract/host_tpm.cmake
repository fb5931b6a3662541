vmattest_test(host_tpm_contract_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/host_tpm_contract_test.cc
  LIBS vmattest::tpm_esys vmattest::enrollment vmattest::fake_host_tpm vmattest::test_swtpm
       vmattest::evidence vmattest::crypto fmt::fmt
  LABELS contract one-thread)
