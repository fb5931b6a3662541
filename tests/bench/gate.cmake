# A real libvirtd and daemon: built when the integration tests are; needs root.
if(TARGET vmattest::test_daemon)
  vmattest_bench(gate_bench ${CMAKE_CURRENT_LIST_DIR}/gate_bench.cc
    LIBS vmattest::test_daemon vmattest::test_libvirt_host vmattest::document
         vmattest::reference vmattest::test_swtpm fmt::fmt)
  add_dependencies(gate_bench vmattest-hook)
endif()
