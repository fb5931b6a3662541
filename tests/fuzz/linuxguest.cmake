vmattest_fuzzer(linux_guest_fuzzer
  ${CMAKE_CURRENT_LIST_DIR}/linux_guest_fuzzer.cc LIBS vmattest::linuxguest fmt::fmt)
vmattest_fuzzer(module_image_fuzzer
  ${CMAKE_CURRENT_LIST_DIR}/module_image_fuzzer.cc LIBS vmattest::linuxguest fmt::fmt)
foreach(name linux_guest module_image)
  target_sources(${name}_fuzzer PRIVATE
    ${CMAKE_SOURCE_DIR}/tests/support/small_kernel.cc)
endforeach()
foreach(name guest_page_walk btf vmcoreinfo kernel_image)
  vmattest_fuzzer(${name}_fuzzer
    ${CMAKE_CURRENT_LIST_DIR}/${name}_fuzzer.cc LIBS vmattest::linuxguest)
endforeach()
foreach(name linux_guest module_image guest_page_walk btf vmcoreinfo kernel_image)
  target_include_directories(${name}_fuzzer PRIVATE
    ${CMAKE_SOURCE_DIR}/tests ${CMAKE_SOURCE_DIR}/src)
endforeach()
