vmattest_fuzzer(guest_frames_fuzzer
  ${CMAKE_CURRENT_LIST_DIR}/guest_frames_fuzzer.cc
  LIBS vmattest::guestchannel_protocol)
target_include_directories(guest_frames_fuzzer PRIVATE ${CMAKE_SOURCE_DIR}/src)
