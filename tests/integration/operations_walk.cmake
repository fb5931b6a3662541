vmattest_test(operations_walk_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/operations_walk_test.cc
  LIBS vmattest::test_verifier vmattest::test_libvirt_host vmattest::document
       fmt::fmt
  LABELS integration rpc TIMEOUT 600 COST 60)
target_compile_definitions(operations_walk_test PRIVATE
  VMATTEST_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
vmattest_needs_pq(operations_walk_test)
add_dependencies(operations_walk_test vmattest-hook)
