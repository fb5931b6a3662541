vmattest_bench(memory_bench SOURCES memory_bench.cc
  LIBS vmattest::worker_memory vmattest::crypto)
target_include_directories(memory_bench PRIVATE ${CMAKE_SOURCE_DIR}/src)
# With a real guest, of the tests' libvirt; not of Google Benchmark's kind.
if(TARGET vmattest::test_libvirt_host)
  foreach(bench guest_memory_bench small_guests_bench kernel_pause_bench)
    add_executable(${bench} ${CMAKE_CURRENT_LIST_DIR}/${bench}.cc)
    target_link_libraries(${bench} PRIVATE vmattest::options
      vmattest::memory_worker_client vmattest::memory_linux vmattest::measurement
      vmattest::hypervisor_libvirt vmattest::kvm_linux vmattest::crypto
      vmattest::test_libvirt_host vmattest::fake_hypervisor fmt::fmt)
    target_compile_definitions(${bench} PRIVATE
      VMATTEST_MEMORY_WORKER="$<TARGET_FILE:vmattest-memory-worker>")
    set_target_properties(${bench} PROPERTIES
      RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
    add_dependencies(${bench} vmattest-memory-worker)
    add_dependencies(benchmarks ${bench})
  endforeach()
  target_link_libraries(kernel_pause_bench PRIVATE vmattest::capture_guard)
  target_compile_definitions(kernel_pause_bench PRIVATE
    VMATTEST_RESUME_GUARD="$<TARGET_FILE:vmattest-resume-guard>")
  add_dependencies(kernel_pause_bench vmattest-resume-guard)
endif()
