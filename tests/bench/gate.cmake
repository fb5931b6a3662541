# A real libvirtd and daemon: built when the integration tests are; needs root.
if(TARGET vmattest::test_daemon)
  vmattest_bench(gate_bench ${CMAKE_CURRENT_LIST_DIR}/gate_bench.cc
    LIBS vmattest::test_daemon vmattest::test_libvirt_host vmattest::document
         vmattest::reference vmattest::test_swtpm fmt::fmt)
  add_executable(hook_stamp ${CMAKE_CURRENT_LIST_DIR}/hook_stamp.cc)
  # Without vmattest::options: that links the shared fmt.
  target_compile_features(hook_stamp PRIVATE cxx_std_20)
  target_link_options(hook_stamp PRIVATE -static)
  add_dependencies(gate_bench vmattest-hook hook_stamp)
  target_compile_definitions(gate_bench PRIVATE
    VMATTEST_HOOK_STAMP="$<TARGET_FILE:hook_stamp>")
endif()
