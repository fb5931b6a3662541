# BLAKE3's own C and assembly sources: a packaged library where there is one,
# else the sources that Debian ships inside librust-blake3-dev.
# blake3_impl.h is needed too: the tree driver calls blake3_hash_many.
file(GLOB VMATTEST_BLAKE3_DIRS /usr/share/cargo/registry/blake3-1.*/c)
if(NOT VMATTEST_BLAKE3_DIRS)
  message(FATAL_ERROR "BLAKE3 sources not found: install librust-blake3-dev")
endif()
list(GET VMATTEST_BLAKE3_DIRS 0 VMATTEST_BLAKE3_DIR)
add_library(vmattest_blake3 STATIC
  ${VMATTEST_BLAKE3_DIR}/blake3.c
  ${VMATTEST_BLAKE3_DIR}/blake3_dispatch.c
  ${VMATTEST_BLAKE3_DIR}/blake3_portable.c)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_sources(vmattest_blake3 PRIVATE
    ${VMATTEST_BLAKE3_DIR}/blake3_sse2_x86-64_unix.S
    ${VMATTEST_BLAKE3_DIR}/blake3_sse41_x86-64_unix.S
    ${VMATTEST_BLAKE3_DIR}/blake3_avx2_x86-64_unix.S
    ${VMATTEST_BLAKE3_DIR}/blake3_avx512_x86-64_unix.S)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  target_sources(vmattest_blake3 PRIVATE ${VMATTEST_BLAKE3_DIR}/blake3_neon.c)
endif()
target_include_directories(vmattest_blake3 SYSTEM PUBLIC ${VMATTEST_BLAKE3_DIR})
add_library(vmattest::blake3 ALIAS vmattest_blake3)
