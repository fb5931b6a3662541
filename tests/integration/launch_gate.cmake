vmattest_test(launch_gate_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/launch_gate_test.cc
  LIBS vmattest::test_daemon vmattest::test_libvirt_host vmattest::document
       vmattest::reference fmt::fmt
  LABELS integration rpc TIMEOUT 900 COST 210)
add_dependencies(launch_gate_test vmattest-hook)
vmattest_test(launch_gate_memory_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/launch_gate_memory_test.cc
  LIBS vmattest::test_daemon vmattest::test_libvirt_host vmattest::document
       vmattest::reference fmt::fmt
  LABELS integration rpc TIMEOUT 900 COST 115)
add_dependencies(launch_gate_memory_test vmattest-hook)
vmattest_test(launch_gate_faults_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/launch_gate_faults_test.cc
  LIBS vmattest::test_daemon vmattest::test_libvirt_host vmattest::document
       vmattest::reference fmt::fmt
  LABELS integration rpc TIMEOUT 900 COST 210)
add_dependencies(launch_gate_faults_test vmattest-hook)
vmattest_test(launch_gate_content_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/launch_gate_content_test.cc
  LIBS vmattest::test_daemon vmattest::test_libvirt_host vmattest::document
       vmattest::reference fmt::fmt
  LABELS integration rpc TIMEOUT 900 COST 95)
add_dependencies(launch_gate_content_test vmattest-hook vmattest-worker)
