vmattest_test(semantic_snapshot_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/semantic_snapshot_test.cc
          ${CMAKE_SOURCE_DIR}/tests/support/kernel_attacks.cc
          ${CMAKE_SOURCE_DIR}/tests/support/memfd_guest_memory.cc
  LIBS vmattest::baseline vmattest::linuxguest vmattest::kvm_linux vmattest::memory_linux
       vmattest::wire vmattest::test_libvirt_host vmattest::test_daemon vmattest::test_swtpm
       fmt::fmt nlohmann_json::nlohmann_json
  LABELS integration TIMEOUT 900 COST 255)
target_compile_definitions(semantic_snapshot_test PRIVATE
  VMATTEST_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
