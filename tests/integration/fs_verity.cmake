add_executable(measure_verity ${CMAKE_SOURCE_DIR}/tests/support/measure_verity.cc)
target_link_libraries(measure_verity PRIVATE vmattest::options vmattest::image)
target_include_directories(measure_verity PRIVATE ${CMAKE_SOURCE_DIR}/src)
vmattest_test(fs_verity_guest_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/fs_verity_guest_test.cc
  LIBS vmattest::test_libvirt_host fmt::fmt
  LABELS integration)
add_dependencies(fs_verity_guest_test measure_verity)
target_compile_definitions(fs_verity_guest_test PRIVATE
  VMATTEST_MEASURE_VERITY="$<TARGET_FILE:measure_verity>")
