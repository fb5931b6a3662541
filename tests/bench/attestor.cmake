# Needs the test fakes: built when the tests are.
if(TARGET vmattest::fake_vm_store AND TARGET vmattest::fake_host_tpm)
  vmattest_bench(attest_bench ${CMAKE_CURRENT_LIST_DIR}/attest_bench.cc
    LIBS vmattest::attestor vmattest::fake_host_tpm vmattest::fake_hypervisor
         vmattest::fake_vm_store)
endif()
