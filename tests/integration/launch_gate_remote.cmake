vmattest_test(launch_gate_remote_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/launch_gate_remote_test.cc
  LIBS vmattest::test_verifier vmattest::test_libvirt_host vmattest::reference
       fmt::fmt
  LABELS integration rpc TIMEOUT 600 COST 40)
add_dependencies(launch_gate_remote_test vmattest-hook)
