vmattest_test(guest_memory_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/guest_memory_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/guest_moment_test.cc
  LIBS vmattest::memory_worker_client vmattest::memory_stream
       vmattest::linuxguest vmattest::capture_guard vmattest::measurement
       vmattest::hypervisor_libvirt vmattest::kvm_linux vmattest::crypto
       vmattest::test_libvirt_host vmattest::fake_hypervisor fmt::fmt
  LABELS integration no-sanitizer TIMEOUT 900 COST 130)
target_compile_definitions(guest_memory_test PRIVATE
  VMATTEST_MEMORY_WORKER="$<TARGET_FILE:vmattest-memory-worker>"
  VMATTEST_RESUME_GUARD="$<TARGET_FILE:vmattest-resume-guard>")
add_dependencies(guest_memory_test vmattest-memory-worker vmattest-resume-guard)
