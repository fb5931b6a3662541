vmattest_test(config_tree_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/config_tree_test.cc
  LIBS vmattest::config_tree vmattest::crypto vmattest::merkle fmt::fmt
  LABELS unit one-thread)
