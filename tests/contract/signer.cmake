vmattest_test(signer_contract_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/signer_contract_test.cc
  LIBS vmattest::signing_remote vmattest::enrollment vmattest::signing vmattest::fake_host_tpm vmattest::wire
       vmattest::merkle vmattest::crypto fmt::fmt
  LABELS contract)
vmattest_needs_pq(signer_contract_test)
