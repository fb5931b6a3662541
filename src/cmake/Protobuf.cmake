# vmattest_proto_library(NAME proto...): messages only.
# vmattest_grpc_library(NAME proto...): service stubs over a message library.
# Both generate below the build tree with the repository's proto/ as root.
set(VMATTEST_PROTO_OUT ${CMAKE_BINARY_DIR}/generated)
file(MAKE_DIRECTORY ${VMATTEST_PROTO_OUT})

function(vmattest_proto_library name)
  set(sources)
  foreach(proto IN LISTS ARGN)
    string(REGEX REPLACE "\\.proto$" "" stem ${proto})
    set(out ${VMATTEST_PROTO_OUT}/${stem}.pb.cc ${VMATTEST_PROTO_OUT}/${stem}.pb.h)
    add_custom_command(
      OUTPUT ${out}
      COMMAND protobuf::protoc --proto_path=${CMAKE_SOURCE_DIR}/proto
              --cpp_out=${VMATTEST_PROTO_OUT} ${proto}
      DEPENDS ${CMAKE_SOURCE_DIR}/proto/${proto}
      VERBATIM)
    list(APPEND sources ${VMATTEST_PROTO_OUT}/${stem}.pb.cc)
  endforeach()
  add_library(${name} STATIC ${sources})
  target_include_directories(${name} SYSTEM PUBLIC ${VMATTEST_PROTO_OUT})
  target_link_libraries(${name} PUBLIC protobuf::libprotobuf)
  # Worth its time where there are many.
  list(LENGTH sources count)
  if(VMATTEST_PCH AND count GREATER 8)
    target_precompile_headers(${name} PRIVATE
      <google/protobuf/descriptor.h> <google/protobuf/extension_set.h>
      <google/protobuf/generated_message_reflection.h>
      <google/protobuf/io/coded_stream.h> <google/protobuf/message.h>
      <google/protobuf/reflection_ops.h> <google/protobuf/repeated_field.h>
      <google/protobuf/wire_format.h>)
  endif()
  # What protoc writes is as good as its library, which has no checks for undefined
  # behaviour either; a file takes about half as long without.
  if(VMATTEST_SANITIZE STREQUAL "address" OR VMATTEST_BUILD_FUZZERS)
    target_compile_options(${name} PRIVATE -fno-sanitize=undefined)
  endif()
endfunction()

# vmattest_proto_lite_library(NAME proto...): messages for LITE_RUNTIME, without
# a runtime: whoever links them links libprotobuf or libprotobuf-lite, never
# both.
function(vmattest_proto_lite_library name)
  vmattest_proto_library(${name} ${ARGN})
  set_property(TARGET ${name} PROPERTY LINK_LIBRARIES)
  set_property(TARGET ${name} PROPERTY INTERFACE_LINK_LIBRARIES)
endfunction()

function(vmattest_grpc_library name messages)
  set(sources)
  foreach(proto IN LISTS ARGN)
    string(REGEX REPLACE "\\.proto$" "" stem ${proto})
    add_custom_command(
      OUTPUT ${VMATTEST_PROTO_OUT}/${stem}.grpc.pb.cc
             ${VMATTEST_PROTO_OUT}/${stem}.grpc.pb.h
      COMMAND protobuf::protoc --proto_path=${CMAKE_SOURCE_DIR}/proto
              --grpc_out=${VMATTEST_PROTO_OUT}
              --plugin=protoc-gen-grpc=$<TARGET_FILE:gRPC::grpc_cpp_plugin>
              ${proto}
      DEPENDS ${CMAKE_SOURCE_DIR}/proto/${proto}
      VERBATIM)
    list(APPEND sources ${VMATTEST_PROTO_OUT}/${stem}.grpc.pb.cc)
  endforeach()
  add_library(${name} STATIC ${sources})
  set_target_properties(${name} PROPERTIES UNITY_BUILD ${VMATTEST_UNITY})
  target_link_libraries(${name} PUBLIC ${messages} gRPC::grpc++)
endfunction()
