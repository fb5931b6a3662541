vmattest_test(verifier_store_contract_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/verifier_store_contract_test.cc
  LIBS vmattest::verification_sqlite vmattest::fake_verifier_store
  LABELS contract)
