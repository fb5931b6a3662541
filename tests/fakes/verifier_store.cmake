if(TARGET vmattest::verification_store)
  add_library(vmattest_fake_verifier_store STATIC
    ${CMAKE_CURRENT_LIST_DIR}/fake_verifier_store.cc)
  add_library(vmattest::fake_verifier_store ALIAS vmattest_fake_verifier_store)
  target_include_directories(vmattest_fake_verifier_store PUBLIC
    ${CMAKE_SOURCE_DIR}/tests ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(vmattest_fake_verifier_store
    PUBLIC vmattest::verification_store PRIVATE vmattest::options)
endif()
