if(TARGET vmattest-worker)
  vmattest_bench(guest_digest_bench
    ${CMAKE_CURRENT_LIST_DIR}/guest_digest_bench.cc
    LIBS vmattest::inspection_worker vmattest::disk vmattest::crypto fmt::fmt)
  target_compile_definitions(guest_digest_bench PRIVATE
    VMATTEST_WORKER="$<TARGET_FILE:vmattest-worker>")
  target_include_directories(guest_digest_bench PRIVATE ${CMAKE_SOURCE_DIR}/src)
  add_dependencies(guest_digest_bench vmattest-worker)
endif()
