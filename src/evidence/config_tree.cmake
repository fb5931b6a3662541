# Its own target: what measures needs the tree, not the rest of evidence/.
add_library(vmattest_config_tree STATIC ${CMAKE_CURRENT_LIST_DIR}/config_tree.cc)
add_library(vmattest::config_tree ALIAS vmattest_config_tree)
target_link_libraries(vmattest_config_tree
  PUBLIC vmattest::types vmattest::base
  PRIVATE vmattest::crypto vmattest::merkle vmattest::options fmt::fmt)
