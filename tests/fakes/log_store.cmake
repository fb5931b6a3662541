if(TARGET vmattest::ledger_store)
  add_library(vmattest_fake_log_store STATIC
    ${CMAKE_CURRENT_LIST_DIR}/fake_log_store.cc)
  add_library(vmattest::fake_log_store ALIAS vmattest_fake_log_store)
  target_include_directories(vmattest_fake_log_store PUBLIC
    ${CMAKE_SOURCE_DIR}/tests ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(vmattest_fake_log_store
    PUBLIC vmattest::ledger_store PRIVATE vmattest::options)
endif()
