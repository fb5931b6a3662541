vmattest_fuzzer(guest_look_fuzzer ${CMAKE_CURRENT_LIST_DIR}/guest_look_fuzzer.cc
  LIBS vmattest::worker_memory vmattest::memory_worker_client fmt::fmt)
target_sources(guest_look_fuzzer PRIVATE
  ${CMAKE_SOURCE_DIR}/tests/support/small_kernel.cc)
target_include_directories(guest_look_fuzzer PRIVATE
  ${CMAKE_SOURCE_DIR}/tests ${CMAKE_SOURCE_DIR}/src)
