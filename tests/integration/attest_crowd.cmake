vmattest_test(attest_crowd_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/attest_crowd_test.cc
  LIBS vmattest::test_daemon vmattest::cli_client vmattest::verifier fmt::fmt
  LABELS integration rpc)
# It measures time: alone on the machine, as far as ctest can say.
set_tests_properties(attest_crowd_test PROPERTIES RUN_SERIAL ON)
set_target_properties(attest_crowd_test PROPERTIES
  DISABLE_PRECOMPILE_HEADERS ON)
