# A whole verifier in memory. Without GoogleTest: benches use it too.
if(TARGET vmattest::verification)
  add_library(vmattest_verifier_rig STATIC
    ${CMAKE_SOURCE_DIR}/tests/support/verifier_rig.cc)
  add_library(vmattest::verifier_rig ALIAS vmattest_verifier_rig)
  target_link_libraries(vmattest_verifier_rig
    PUBLIC vmattest::verification vmattest::fake_verifier_store
           vmattest::ek_pki vmattest::soft_tpm vmattest::evidence_builder
    PRIVATE vmattest::wire vmattest::options)
endif()
