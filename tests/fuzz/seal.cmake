vmattest_fuzzer(seal_approval_fuzzer
  ${CMAKE_CURRENT_LIST_DIR}/seal_approval_fuzzer.cc
  LIBS vmattest::wire vmattest::evidence vmattest::base
       nlohmann_json::nlohmann_json fmt::fmt)
# One file of the command line, which is not built without gRPC.
target_sources(seal_approval_fuzzer PRIVATE
  ${CMAKE_SOURCE_DIR}/src/cli/seal_status.cc)
target_include_directories(seal_approval_fuzzer PRIVATE ${CMAKE_SOURCE_DIR}/src)
