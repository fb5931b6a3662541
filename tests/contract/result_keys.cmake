if(TARGET vmattest::verifierd_stack)
  vmattest_test(result_keys_contract_test
    SOURCES ${CMAKE_CURRENT_LIST_DIR}/result_keys_contract_test.cc
    LIBS vmattest::verifierd_stack vmattest::verification fmt::fmt
    LABELS contract rpc)
  set_target_properties(result_keys_contract_test PROPERTIES
    DISABLE_PRECOMPILE_HEADERS ON)
endif()
