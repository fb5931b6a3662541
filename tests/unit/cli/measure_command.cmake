vmattest_test(measure_command_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/measure_command_test.cc
          ${CMAKE_SOURCE_DIR}/src/cli/local_inspector.cc
          ${CMAKE_SOURCE_DIR}/src/cli/measure_command.cc
  LIBS vmattest::measurement vmattest::image vmattest::inspection_worker fmt::fmt
       nlohmann_json::nlohmann_json
  LABELS unit)
