# Host event logs with evidence, made in software.
add_library(vmattest_host_log_evidence STATIC
  ${CMAKE_SOURCE_DIR}/tests/support/host_log_evidence.cc)
add_library(vmattest::host_log_evidence ALIAS vmattest_host_log_evidence)
target_link_libraries(vmattest_host_log_evidence
  PUBLIC vmattest::evidence_builder vmattest::eventlog vmattest::crypto
  PRIVATE vmattest::wire vmattest::options)
