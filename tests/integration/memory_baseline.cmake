vmattest_test(memory_baseline_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/memory_baseline_test.cc
          ${CMAKE_SOURCE_DIR}/tests/support/https_receiver.cc
          ${CMAKE_SOURCE_DIR}/tests/support/kernel_attacks.cc
          ${CMAKE_SOURCE_DIR}/tests/support/memfd_guest_memory.cc
  LIBS vmattest::linuxguest vmattest::kvm_linux vmattest::ledger vmattest::wire
       vmattest::test_verifier vmattest::test_daemon vmattest::test_libvirt_host
       vmattest::document vmattest::reference OpenSSL::SSL
       nlohmann_json::nlohmann_json fmt::fmt
  LABELS integration rpc TIMEOUT 900 COST 80)
add_dependencies(memory_baseline_test vmattest-hook)
