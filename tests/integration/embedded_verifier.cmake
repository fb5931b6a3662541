vmattest_test(embedded_verifier_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/embedded_verifier_test.cc
  LIBS vmattest::test_daemon fmt::fmt
  LABELS integration rpc)
