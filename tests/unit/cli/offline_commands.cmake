vmattest_test(offline_commands_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/offline_commands_test.cc
  LIBS vmattest::cli_offline vmattest::config_tree vmattest::wire
       vmattest::evidence_builder nlohmann_json::nlohmann_json
  LABELS unit)
