foreach(fuzzer partition_table disk_inspect dpkg_status rpm_database pe)
  vmattest_fuzzer(${fuzzer}_fuzzer
    ${CMAKE_CURRENT_LIST_DIR}/${fuzzer}_fuzzer.cc LIBS vmattest::disk)
  target_include_directories(${fuzzer}_fuzzer PRIVATE
    ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/tests)
endforeach()
vmattest_fuzzer(nbd_session_fuzzer ${CMAKE_CURRENT_LIST_DIR}/nbd_session_fuzzer.cc
  LIBS vmattest::worker_appliance)
target_include_directories(nbd_session_fuzzer PRIVATE
  ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/tests)
