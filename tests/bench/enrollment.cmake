if(NOT TARGET vmattest::soft_tpm)
  include(${CMAKE_SOURCE_DIR}/tests/fakes/host_tpm.cmake)
endif()
include(${CMAKE_SOURCE_DIR}/tests/fakes/ek_pki.cmake)
vmattest_bench(enrollment_bench ${CMAKE_CURRENT_LIST_DIR}/enrollment_bench.cc
  LIBS vmattest::enrollment vmattest::ek_pki vmattest::soft_tpm vmattest::wire
       vmattest::crypto OpenSSL::Crypto)
