if(NOT TARGET vmattest::soft_tpm)
  include(${CMAKE_SOURCE_DIR}/tests/fakes/host_tpm.cmake)
endif()
vmattest_bench(verifier_bench ${CMAKE_CURRENT_LIST_DIR}/verifier_bench.cc
  LIBS vmattest::verifier vmattest::wire vmattest::crypto
       vmattest::evidence_builder OpenSSL::Crypto)
