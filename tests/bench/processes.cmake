# Needs the test fakes: built when the tests are.
if(TARGET vmattest::test_swtpm)
  vmattest_bench(signing_remote_bench
    ${CMAKE_CURRENT_LIST_DIR}/signing_remote_bench.cc
    LIBS vmattest::signing_remote vmattest::signing vmattest::tpm_esys
         vmattest::wire vmattest::test_swtpm vmattest::fake_host_tpm)
  target_compile_definitions(signing_remote_bench PRIVATE
    VMATTEST_SIGNER="$<TARGET_FILE:vmattest-signer>")
  add_dependencies(signing_remote_bench vmattest-signer)

  vmattest_bench(worker_bench ${CMAKE_CURRENT_LIST_DIR}/worker_bench.cc
    LIBS vmattest::inspection_worker vmattest::image vmattest::test_support)
  target_compile_definitions(worker_bench PRIVATE
    VMATTEST_HEADER_WORKER="$<TARGET_FILE:vmattest-header-worker>")
  add_dependencies(worker_bench vmattest-header-worker)
endif()
