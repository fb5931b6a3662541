# Needs the tests' images: built when the tests are.
if(TARGET vmattest_disk_images)
  vmattest_bench(disk_bench ${CMAKE_CURRENT_LIST_DIR}/disk_bench.cc
    LIBS vmattest_disk_images vmattest::crypto fmt::fmt)
endif()
