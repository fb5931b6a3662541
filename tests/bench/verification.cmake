# Needs the test fakes: built when the tests are.
if(TARGET vmattest::verifier_rig)
  vmattest_bench(verification_bench
    ${CMAKE_CURRENT_LIST_DIR}/verification_bench.cc
    LIBS vmattest::verifier_rig vmattest::verification_sqlite fmt::fmt)
endif()
