# One interface target carries what every target of the project is built with.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()
# Asserts are on in every build: a broken invariant ends the process. What is
# shipped has -O2; with -O1 the tests' programs take a sixth less to build.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O1 -g1")
if(VMATTEST_SANITIZE)
  # Half as long to build, and a report has each of its frames.
  set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O0 -g1")
  set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O0 -g1")
endif()
set(VMATTEST_RELEASE_FLAGS "-O2" CACHE STRING "of Release; -O0 is for a first look")
set(CMAKE_CXX_FLAGS_RELEASE "${VMATTEST_RELEASE_FLAGS}")
set(CMAKE_C_FLAGS_RELEASE "${VMATTEST_RELEASE_FLAGS}")

find_program(VMATTEST_CCACHE ccache)
if(VMATTEST_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${VMATTEST_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${VMATTEST_CCACHE})
endif()

# Over a hundred test programs are linked; lld takes well under a second each.
# What ships is linked by the system's own.
find_program(VMATTEST_LLD ld.lld)
if(VMATTEST_LLD AND NOT (CMAKE_BUILD_TYPE STREQUAL "Release" AND
                         VMATTEST_RELEASE_FLAGS STREQUAL "-O2"))
  add_link_options(-fuse-ld=lld)
endif()

# GCC, which built Debian's abseil, names constrained templates as clang did
# before 18 (Cord's constructor from a string).
if(CMAKE_CXX_COMPILER_ID STREQUAL Clang AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 18)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fclang-abi-compat=17>)
endif()

add_library(vmattest_options INTERFACE)
add_library(vmattest::options ALIAS vmattest_options)
# Everywhere, so that all sources are compiled with the same macros and can share
# a precompiled header.
target_link_libraries(vmattest_options INTERFACE fmt::fmt)
target_compile_options(vmattest_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic
    -Wnon-virtual-dtor -Woverloaded-virtual -Wimplicit-fallthrough
    -Wno-missing-field-initializers -Werror=unused-result -Werror=switch
    -Werror=return-type>
  # One source's local names shadow another's of file scope, when compiled together.
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<NOT:$<BOOL:${VMATTEST_UNITY}>>>:-Wshadow>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:Clang>>:-Wthread-safety>
  $<$<BOOL:${VMATTEST_WERROR}>:-Werror>)
# Fortified libc's functions are inline ones.
target_compile_definitions(vmattest_options INTERFACE
  $<$<AND:$<CONFIG:Release>,$<NOT:$<STREQUAL:${VMATTEST_RELEASE_FLAGS},-O0>>>:_FORTIFY_SOURCE=2>
  VMATTEST_VERSION="${PROJECT_VERSION}")
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_options(vmattest_options INTERFACE
    -fstack-protector-strong -fstack-clash-protection -fcf-protection)
  target_link_options(vmattest_options INTERFACE
    -Wl,-z,relro,-z,now,-z,noexecstack)
endif()

if(VMATTEST_SANITIZE STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined
                      -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(VMATTEST_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
elseif(VMATTEST_SANITIZE)
  message(FATAL_ERROR "VMATTEST_SANITIZE: '${VMATTEST_SANITIZE}' is neither address nor thread")
endif()
if(VMATTEST_BUILD_FUZZERS)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "libFuzzer targets need clang: use the preset 'fuzz'")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined
                      -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=address,undefined)
endif()
