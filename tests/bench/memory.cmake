vmattest_bench(memory_bench SOURCES memory_bench.cc
  LIBS vmattest::worker_memory vmattest::crypto)
target_include_directories(memory_bench PRIVATE ${CMAKE_SOURCE_DIR}/src)
# With a real guest, of the tests' libvirt; not of Google Benchmark's kind.
if(TARGET vmattest::test_libvirt_host)
  add_executable(guest_memory_bench ${CMAKE_CURRENT_LIST_DIR}/guest_memory_bench.cc)
  target_link_libraries(guest_memory_bench PRIVATE vmattest::options
    vmattest::memory_worker_client vmattest::memory_linux vmattest::measurement
    vmattest::hypervisor_libvirt vmattest::kvm_linux vmattest::crypto
    vmattest::test_libvirt_host vmattest::fake_hypervisor fmt::fmt)
  target_compile_definitions(guest_memory_bench PRIVATE
    VMATTEST_MEMORY_WORKER="$<TARGET_FILE:vmattest-memory-worker>")
  set_target_properties(guest_memory_bench PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
  add_dependencies(guest_memory_bench vmattest-memory-worker)
  add_dependencies(benchmarks guest_memory_bench)
endif()
