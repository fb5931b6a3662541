add_library(vmattest_fake_hypervisor STATIC
  ${CMAKE_CURRENT_LIST_DIR}/fake_guest_control.cc fake_hypervisor.cc)
add_library(vmattest::fake_hypervisor ALIAS vmattest_fake_hypervisor)
target_include_directories(vmattest_fake_hypervisor PUBLIC
  ${CMAKE_SOURCE_DIR}/tests ${CMAKE_SOURCE_DIR}/src)
target_link_libraries(vmattest_fake_hypervisor
  PUBLIC vmattest::hypervisor PRIVATE vmattest::options fmt::fmt)

add_library(vmattest_fake_vm_store STATIC
  ${CMAKE_CURRENT_LIST_DIR}/fake_vm_store.cc)
add_library(vmattest::fake_vm_store ALIAS vmattest_fake_vm_store)
target_include_directories(vmattest_fake_vm_store PUBLIC
  ${CMAKE_SOURCE_DIR}/tests ${CMAKE_SOURCE_DIR}/src)
target_link_libraries(vmattest_fake_vm_store
  PUBLIC vmattest::inventory PRIVATE vmattest::options)

# A real libvirtd of the test's own.
add_library(vmattest_test_libvirt_host STATIC
  ${CMAKE_SOURCE_DIR}/tests/support/guest_files.cc
  ${CMAKE_SOURCE_DIR}/tests/support/libvirt_host.cc
  ${CMAKE_SOURCE_DIR}/tests/support/run_command.cc)
add_library(vmattest::test_libvirt_host ALIAS vmattest_test_libvirt_host)
target_link_libraries(vmattest_test_libvirt_host
  PUBLIC vmattest::test_support PRIVATE vmattest::options fmt::fmt)
target_compile_definitions(vmattest_test_libvirt_host PUBLIC
  VMATTEST_TESTBED="${CMAKE_SOURCE_DIR}/tests/support/testbed"
  VMATTEST_GUEST_FOLDER="${CMAKE_BINARY_DIR}/guest")
