# The claims, for the programs that run them over their bodies.
set(verifier_store_contract_source
  ${CMAKE_CURRENT_LIST_DIR}/verifier_store_contract.cc)

vmattest_test(verifier_store_contract_test
  SOURCES ${verifier_store_contract_source}
          ${CMAKE_CURRENT_LIST_DIR}/verifier_store_contract_test.cc
  LIBS vmattest::verification_sqlite vmattest::fake_verifier_store
  LABELS contract)
