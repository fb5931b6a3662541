if(NOT TARGET vmattest::soft_tpm)
  include(${CMAKE_SOURCE_DIR}/tests/fakes/host_tpm.cmake)
endif()
include(${CMAKE_SOURCE_DIR}/tests/fakes/ek_pki.cmake)
vmattest_fuzzer(ek_certificate_fuzzer
  ${CMAKE_CURRENT_LIST_DIR}/ek_certificate_fuzzer.cc
  LIBS vmattest::enrollment vmattest::ek_pki)
vmattest_fuzzer(enrollment_identity_fuzzer
  ${CMAKE_CURRENT_LIST_DIR}/enrollment_identity_fuzzer.cc
  LIBS vmattest::enrollment vmattest::wire vmattest::ek_pki)
add_executable(vmattest_enrollment_seeds EXCLUDE_FROM_ALL
  ${CMAKE_CURRENT_LIST_DIR}/enrollment_seeds.cc)
target_link_libraries(vmattest_enrollment_seeds PRIVATE
  vmattest::ek_pki vmattest::soft_tpm vmattest::wire vmattest::base
  vmattest::options)
