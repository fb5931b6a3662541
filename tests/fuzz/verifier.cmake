if(NOT TARGET vmattest::soft_tpm)
  include(${CMAKE_SOURCE_DIR}/tests/fakes/host_tpm.cmake)
endif()
if(NOT TARGET vmattest::host_log_evidence)
  include(${CMAKE_SOURCE_DIR}/tests/fakes/host_log_evidence.cmake)
endif()
vmattest_fuzzer(evidence_fuzzer ${CMAKE_CURRENT_LIST_DIR}/evidence_fuzzer.cc
  LIBS vmattest::verifier vmattest::wire vmattest::merkle vmattest::crypto
       vmattest::evidence_builder)
vmattest_fuzzer(disclosure_fuzzer ${CMAKE_CURRENT_LIST_DIR}/disclosure_fuzzer.cc
  LIBS vmattest::verifier vmattest::wire vmattest::evidence_builder)
vmattest_fuzzer(verify_event_log_fuzzer
  ${CMAKE_CURRENT_LIST_DIR}/verify_event_log_fuzzer.cc
  LIBS vmattest::verifier vmattest::wire vmattest::eventlog vmattest::crypto
       vmattest::host_log_evidence)
vmattest_fuzzer(quote_fuzzer ${CMAKE_CURRENT_LIST_DIR}/quote_fuzzer.cc
  LIBS vmattest::evidence vmattest::crypto vmattest::soft_tpm)
vmattest_fuzzer(host_identity_fuzzer
  ${CMAKE_CURRENT_LIST_DIR}/host_identity_fuzzer.cc
  LIBS vmattest::verifier vmattest::wire vmattest::soft_tpm)

add_executable(vmattest_verifier_seeds EXCLUDE_FROM_ALL
  ${CMAKE_CURRENT_LIST_DIR}/verifier_seeds.cc)
target_link_libraries(vmattest_verifier_seeds PRIVATE
  vmattest::evidence_builder vmattest::host_log_evidence vmattest::eventlog
  vmattest::wire vmattest::base vmattest::options)
