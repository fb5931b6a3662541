vmattest_test(offline_commands_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/offline_commands_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/salted_commands_test.cc
  LIBS vmattest::cli_offline vmattest::config_tree vmattest::wire
       vmattest::evidence_builder nlohmann_json::nlohmann_json
  LABELS unit)
vmattest_test(eventlog_command_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/eventlog_command_test.cc
  LIBS vmattest::cli_offline vmattest::host_log_evidence vmattest::wire
       nlohmann_json::nlohmann_json
  LABELS unit)
vmattest_test(seal_approve_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/seal_approve_test.cc
  LIBS vmattest::cli_offline vmattest::evidence vmattest::wire
  LABELS unit)
vmattest_test(verify_signatures_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/verify_signatures_test.cc
  LIBS vmattest::cli_offline vmattest::wire vmattest::evidence_builder
       vmattest::fake_host_tpm nlohmann_json::nlohmann_json
  LABELS unit)
vmattest_needs_pq(verify_signatures_test)
vmattest_test(reference_commands_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/reference_commands_test.cc
  LIBS vmattest::cli_offline vmattest::wire vmattest::evidence_builder
       nlohmann_json::nlohmann_json
  LABELS unit)
vmattest_test(ledger_command_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/ledger_command_test.cc
  LIBS vmattest::cli_offline vmattest::ledger vmattest::ledger_sqlite
       nlohmann_json::nlohmann_json
  LABELS unit)
vmattest_test(snapshot_show_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/policy_command_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/snapshot_show_test.cc
  LIBS vmattest::cli_offline vmattest::snapshot vmattest::wire
       vmattest::evidence_builder
  LABELS unit)
