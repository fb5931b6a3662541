# A TPM manufacturer for tests. Without GoogleTest: fuzzers and benches use it.
if(NOT TARGET vmattest_ek_pki)
  add_library(vmattest_ek_pki STATIC ${CMAKE_SOURCE_DIR}/tests/support/ek_pki.cc)
  add_library(vmattest::ek_pki ALIAS vmattest_ek_pki)
  target_include_directories(vmattest_ek_pki PUBLIC
    ${CMAKE_SOURCE_DIR}/tests ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(vmattest_ek_pki
    PUBLIC vmattest::enrollment vmattest::base
    PRIVATE vmattest::crypto vmattest::options)
endif()
