if(NOT TARGET vmattest::soft_tpm)
  include(${CMAKE_SOURCE_DIR}/tests/fakes/host_tpm.cmake)
endif()
vmattest_bench(appraisal_bench ${CMAKE_CURRENT_LIST_DIR}/appraisal_bench.cc
  LIBS vmattest::appraisal vmattest::reference vmattest::wire vmattest::evidence
       vmattest::evidence_builder OpenSSL::Crypto)
