vmattest_test(guest_agent_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/guest_agent_test.cc
  LIBS vmattest::test_libvirt_host vmattest::test_daemon vmattest::test_swtpm
       fmt::fmt nlohmann_json::nlohmann_json
  LABELS integration)
target_compile_definitions(guest_agent_test PRIVATE
  VMATTEST_AGENT="$<TARGET_FILE:vmattest-agent>")
add_dependencies(guest_agent_test vmattest-agent)
