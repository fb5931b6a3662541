# Real TPMs for tests: swtpm, and a man in the middle before it.
add_library(vmattest_test_swtpm STATIC
  ${CMAKE_SOURCE_DIR}/tests/support/swtpm.cc
  ${CMAKE_SOURCE_DIR}/tests/support/tpm_proxy.cc
  ${CMAKE_SOURCE_DIR}/tests/support/unix_socket.cc)
add_library(vmattest::test_swtpm ALIAS vmattest_test_swtpm)
target_link_libraries(vmattest_test_swtpm
  PUBLIC vmattest::test_support
  PRIVATE vmattest::crypto vmattest::options fmt::fmt)
