if(TARGET vmattest_worker_appliance)
  vmattest_test(appliance_contract_test
    SOURCES ${CMAKE_CURRENT_LIST_DIR}/appliance_contract_test.cc
    LIBS vmattest::worker_appliance fmt::fmt
    LABELS contract)
endif()
