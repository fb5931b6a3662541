# Stand-ins for a TPM. Without GoogleTest: the fuzzers and benches use them too.
add_library(vmattest_soft_tpm STATIC
  ${CMAKE_SOURCE_DIR}/tests/support/sealed_seed_builder.cc
  ${CMAKE_SOURCE_DIR}/tests/support/soft_tpm.cc)
add_library(vmattest::soft_tpm ALIAS vmattest_soft_tpm)
target_include_directories(vmattest_soft_tpm PUBLIC
  ${CMAKE_SOURCE_DIR}/tests ${CMAKE_SOURCE_DIR}/src)
target_link_libraries(vmattest_soft_tpm
  PUBLIC vmattest::evidence
  PRIVATE vmattest::crypto vmattest::options OpenSSL::Crypto)

add_library(vmattest_fake_host_tpm STATIC 
  ${CMAKE_CURRENT_LIST_DIR}/fake_host_tpm.cc
  ${CMAKE_CURRENT_LIST_DIR}/fake_host_tpm_seal.cc)
add_library(vmattest::fake_host_tpm ALIAS vmattest_fake_host_tpm)
target_link_libraries(vmattest_fake_host_tpm
  PUBLIC vmattest::soft_tpm vmattest::tpm
  PRIVATE vmattest::crypto vmattest::options fmt::fmt)

add_library(vmattest_evidence_builder STATIC
  ${CMAKE_SOURCE_DIR}/tests/support/evidence_builder.cc)
add_library(vmattest::evidence_builder ALIAS vmattest_evidence_builder)
target_link_libraries(vmattest_evidence_builder
  PUBLIC vmattest::soft_tpm vmattest::evidence vmattest::config_tree
  PRIVATE vmattest::crypto vmattest::merkle vmattest::wire vmattest::options
          fmt::fmt)
