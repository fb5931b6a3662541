vmattest_test(snapshot_end_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/snapshot_test.cc
  LIBS vmattest::test_libvirt_host vmattest::test_daemon vmattest::test_swtpm
       fmt::fmt nlohmann_json::nlohmann_json
  LABELS integration)
