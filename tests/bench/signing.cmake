# Needs the test fakes: built when the tests are. Run it with
# VMATTEST_PQ_MODULE where libcrypto has no ML-DSA.
if(TARGET vmattest::test_swtpm)
  vmattest_bench(signing_bench ${CMAKE_CURRENT_LIST_DIR}/signing_bench.cc
    LIBS vmattest::signing vmattest::wire vmattest::tpm_esys
         vmattest::test_swtpm)
endif()
