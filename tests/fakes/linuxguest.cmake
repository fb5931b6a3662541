# A real QEMU, and what its guest wrote.
add_library(vmattest_test_qemu_guest STATIC
  ${CMAKE_SOURCE_DIR}/tests/support/guest_files.cc
  ${CMAKE_SOURCE_DIR}/tests/support/memfd_guest_memory.cc
  ${CMAKE_SOURCE_DIR}/tests/support/qemu_guest.cc
  ${CMAKE_SOURCE_DIR}/tests/support/run_command.cc
  ${CMAKE_SOURCE_DIR}/tests/support/unix_socket.cc)
add_library(vmattest::test_qemu_guest ALIAS vmattest_test_qemu_guest)
target_link_libraries(vmattest_test_qemu_guest
  PUBLIC vmattest::memory vmattest::test_support
  PRIVATE vmattest::options fmt::fmt)
target_compile_definitions(vmattest_test_qemu_guest PRIVATE
  VMATTEST_TESTBED="${CMAKE_SOURCE_DIR}/tests/support/testbed"
  VMATTEST_GUEST_FOLDER="${CMAKE_BINARY_DIR}/guest")
