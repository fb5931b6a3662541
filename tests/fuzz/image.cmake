vmattest_fuzzer(image_header_fuzzer
  ${CMAKE_CURRENT_LIST_DIR}/image_header_fuzzer.cc LIBS vmattest::image)
target_include_directories(image_header_fuzzer PRIVATE ${CMAKE_SOURCE_DIR}/src)
