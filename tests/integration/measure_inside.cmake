if(TARGET vmattest-worker)
  vmattest_test(measure_inside_test
    SOURCES ${CMAKE_CURRENT_LIST_DIR}/measure_inside_test.cc
            ${CMAKE_SOURCE_DIR}/src/cli/local_inspector.cc
            ${CMAKE_SOURCE_DIR}/src/cli/measure_command.cc
            ${CMAKE_SOURCE_DIR}/tests/support/run_command.cc
    LIBS vmattest::measurement vmattest::image vmattest::inspection_worker
         fmt::fmt nlohmann_json::nlohmann_json
    LABELS integration)
  target_compile_definitions(measure_inside_test PRIVATE
    VMATTEST_WORKER="$<TARGET_FILE:vmattest-worker>")
  add_dependencies(measure_inside_test vmattest-worker)
endif()
