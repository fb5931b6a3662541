vmattest_test(swtpm_evidence_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/swtpm_evidence_test.cc
  LIBS vmattest::cli_offline vmattest::verifier vmattest::wire
       vmattest::config_tree vmattest::merkle vmattest::crypto
       vmattest::tpm_esys vmattest::test_swtpm
  LABELS integration)
