# Needs the test fakes: built when the tests are.
if(TARGET vmattest::test_swtpm)
  vmattest_bench(sealing_bench ${CMAKE_CURRENT_LIST_DIR}/sealing_bench.cc
    LIBS vmattest::sealing vmattest::tpm_esys vmattest::test_swtpm
         vmattest::fake_host_tpm vmattest::crypto PkgConfig::TSS2)
endif()
