vmattest_test(hook_socket_contract_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/hook_socket_contract_test.cc
  LIBS vmattest::gate_socket vmattest::gate_protocol vmattest::crypto
  LABELS contract)
