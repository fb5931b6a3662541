vmattest_test(linux_guest_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/linux_guest_test.cc
          ${CMAKE_SOURCE_DIR}/tests/support/kernel_attacks.cc
  LIBS vmattest::worker_memory vmattest::linuxguest vmattest::baseline
       vmattest::test_qemu_guest fmt::fmt
  LABELS integration TIMEOUT 900 COST 80)
