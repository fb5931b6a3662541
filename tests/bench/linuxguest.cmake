# Needs the tests' QEMU: built when the tests are.
if(TARGET vmattest::test_qemu_guest)
  vmattest_bench(linux_guest_bench
    ${CMAKE_CURRENT_LIST_DIR}/linux_guest_bench.cc
    LIBS vmattest::linuxguest vmattest::test_qemu_guest fmt::fmt)
  target_include_directories(linux_guest_bench PRIVATE ${CMAKE_SOURCE_DIR}/src
    ${CMAKE_SOURCE_DIR}/tests)
endif()
