# vmattest_needs_pq(TEST...): before these tests, ctest fetches OpenSSL's module
# where libcrypto has no ML-DSA (tests/support/pq-module), and tells them by
# VMATTEST_PQ_MODULE where it is. All build folders of a checkout share it.
set(VMATTEST_PQ_DIR ${CMAKE_SOURCE_DIR}/build/pq CACHE PATH
    "Where tests find OpenSSL's FIPS module, or put it")

add_test(NAME pq_module
         COMMAND ${CMAKE_SOURCE_DIR}/tests/support/pq-module ${VMATTEST_PQ_DIR})
set_tests_properties(pq_module PROPERTIES
  LABELS unit TIMEOUT 300 FIXTURES_SETUP pq_module COST 100)

function(vmattest_needs_pq)
  set_property(TEST ${ARGN} APPEND PROPERTY FIXTURES_REQUIRED pq_module)
  set_property(TEST ${ARGN} APPEND PROPERTY
    ENVIRONMENT VMATTEST_PQ_MODULE=${VMATTEST_PQ_DIR}/fips.so)
endfunction()
