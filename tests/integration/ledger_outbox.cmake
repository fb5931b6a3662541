vmattest_test(ledger_outbox_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/ledger_outbox_test.cc
  LIBS vmattest::test_verifier vmattest::test_daemon vmattest::test_libvirt_host
       vmattest::document vmattest::ledger vmattest::reference nlohmann_json::nlohmann_json
       fmt::fmt
  LABELS integration rpc TIMEOUT 900 COST 120)
add_dependencies(ledger_outbox_test vmattest-hook)
