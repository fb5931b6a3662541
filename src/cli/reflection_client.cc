#include "cli/reflection_client.h"

#include <string_view>
#include <utility>

#include "fmt/format.h"
#include "google/protobuf/descriptor.pb.h"
#include "google/protobuf/text_format.h"

namespace vmattest::cli {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptorProto;
using google::protobuf::Message;
using google::protobuf::MethodDescriptor;

constexpr const char* kVersions[] = {"grpc.reflection.v1",
                                     "grpc.reflection.v1alpha"};
constexpr int kMaxImports = 64;

// https://github.com/grpc/grpc/blob/master/doc/server-reflection.md, as far as
// it is used here, in both versions; a FileDescriptorProto as text.
constexpr std::string_view kProtocol = R"pb(
  syntax: "proto3"
  message_type {
    name: "ServerReflectionRequest"
    field {
      name: "file_by_filename"
      number: 3
      type: TYPE_STRING
      oneof_index: 0
    }
    field {
      name: "file_containing_symbol"
      number: 4
      type: TYPE_STRING
      oneof_index: 0
    }
    field { name: "list_services" number: 7 type: TYPE_STRING oneof_index: 0 }
    oneof_decl { name: "message_request" }
  }
  message_type {
    name: "ServerReflectionResponse"
    field {
      name: "file_descriptor_response"
      number: 4
      oneof_index: 0
      type: TYPE_MESSAGE
      type_name: "FileDescriptorResponse"
    }
    field {
      name: "list_services_response"
      number: 6
      oneof_index: 0
      type: TYPE_MESSAGE
      type_name: "ListServiceResponse"
    }
    field {
      name: "error_response"
      number: 7
      oneof_index: 0
      type: TYPE_MESSAGE
      type_name: "ErrorResponse"
    }
    oneof_decl { name: "message_response" }
  }
  message_type {
    name: "FileDescriptorResponse"
    field {
      name: "file_descriptor_proto"
      number: 1
      type: TYPE_BYTES
      label: LABEL_REPEATED
    }
  }
  message_type {
    name: "ListServiceResponse"
    field {
      name: "service"
      number: 1
      label: LABEL_REPEATED
      type: TYPE_MESSAGE
      type_name: "ServiceResponse"
    }
  }
  message_type {
    name: "ServiceResponse"
    field { name: "name" number: 1 type: TYPE_STRING }
  }
  message_type {
    name: "ErrorResponse"
    field { name: "error_code" number: 1 type: TYPE_INT32 }
    field { name: "error_message" number: 2 type: TYPE_STRING }
  }
)pb";

FileDescriptorProto ProtocolFile(const std::string& package) {
  FileDescriptorProto file;
  google::protobuf::TextFormat::ParseFromString(std::string(kProtocol), &file);
  file.set_name(package + ".proto");
  file.set_package(package);
  return file;
}

const FieldDescriptor* Field(const Message& message, const char* name) {
  return message.GetDescriptor()->FindFieldByName(name);
}

const Message& Sub(const Message& message, const char* name) {
  return message.GetReflection()->GetMessage(message, Field(message, name));
}

}  // namespace

ReflectionClient::ReflectionClient(std::shared_ptr<grpc::Channel> channel,
                                   CallOptions options)
    : channel_(std::move(channel)),
      options_(std::move(options)),
      factory_(&protocol_),
      pool_(&files_) {
  for (const char* version : kVersions) {
    protocol_.BuildFile(ProtocolFile(version));
  }
}

absl::StatusOr<std::unique_ptr<Message>> ReflectionClient::AskVersion(
    const std::string& package, const std::string& field,
    const std::string& value) {
  const auto prototype = [&](const char* name) {
    return factory_.GetPrototype(
        protocol_.FindMessageTypeByName(package + "." + name));
  };
  std::unique_ptr<Message> request(prototype("ServerReflectionRequest")->New());
  request->GetReflection()->SetString(request.get(),
                                      Field(*request, field.c_str()), value);
  std::unique_ptr<Message> response(
      prototype("ServerReflectionResponse")->New());
  bool answered = false;
  RETURN_IF_ERROR(GenericCall(
      channel_, package + ".ServerReflection/ServerReflectionInfo",
      request->SerializeAsString(), options_, [&](const std::string& bytes) {
        answered = response->ParseFromString(bytes);
        return answered ? absl::OkStatus()
                        : absl::InternalError("a malformed reflection answer");
      }));
  if (!answered) {
    return absl::InternalError("no reflection answer");
  }
  if (response->GetReflection()->HasField(*response,
                                          Field(*response, "error_response"))) {
    const Message& error = Sub(*response, "error_response");
    return absl::Status(
        static_cast<absl::StatusCode>(
            error.GetReflection()->GetInt32(error, Field(error, "error_code"))),
        error.GetReflection()->GetString(error, Field(error, "error_message")));
  }
  return response;
}

absl::StatusOr<std::unique_ptr<Message>> ReflectionClient::Ask(
    const std::string& field, const std::string& value) {
  if (!package_.empty()) {
    return AskVersion(package_, field, value);
  }
  absl::StatusOr<std::unique_ptr<Message>> answer =
      absl::UnimplementedError("");
  for (const char* version : kVersions) {
    answer = AskVersion(version, field, value);
    if (!absl::IsUnimplemented(answer.status())) {
      package_ = version;
      return answer;
    }
  }
  return absl::UnimplementedError("the server has no reflection service");
}

absl::StatusOr<std::vector<std::string>> ReflectionClient::ListServices() {
  ASSIGN_OR_RETURN(const std::unique_ptr<Message> answer,
                   Ask("list_services", "*"));
  const Message& list = Sub(*answer, "list_services_response");
  std::vector<std::string> services;
  const FieldDescriptor* field = Field(list, "service");
  for (int i = 0; i < list.GetReflection()->FieldSize(list, field); ++i) {
    const Message& service =
        list.GetReflection()->GetRepeatedMessage(list, field, i);
    services.push_back(
        service.GetReflection()->GetString(service, Field(service, "name")));
  }
  return services;
}

// A server may answer with the file alone or with what it imports too.
absl::Status ReflectionClient::Load(const std::string& field,
                                    const std::string& value, int depth) {
  if (depth > kMaxImports) {
    return absl::InvalidArgumentError("imports are nested too deeply");
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<Message> answer, Ask(field, value));
  const Message& files = Sub(*answer, "file_descriptor_response");
  const FieldDescriptor* list = Field(files, "file_descriptor_proto");
  std::vector<std::string> imports;
  for (int i = 0; i < files.GetReflection()->FieldSize(files, list); ++i) {
    FileDescriptorProto file;
    FileDescriptorProto known;
    if (!file.ParseFromString(
            files.GetReflection()->GetRepeatedString(files, list, i))) {
      return absl::InternalError("a malformed file descriptor");
    }
    imports.insert(imports.end(), file.dependency().begin(),
                   file.dependency().end());
    if (!files_.FindFileByName(file.name(), &known)) {
      files_.Add(file);
    }
  }
  for (const std::string& import : imports) {
    FileDescriptorProto known;
    if (!files_.FindFileByName(import, &known)) {
      RETURN_IF_ERROR(Load("file_by_filename", import, depth + 1));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<const MethodDescriptor*> ReflectionClient::FindMethod(
    const std::string& service_slash_method) {
  const size_t slash = service_slash_method.find_last_of("/.");
  if (slash == std::string::npos) {
    return absl::InvalidArgumentError(
        fmt::format("'{}' is not SERVICE/METHOD", service_slash_method));
  }
  const std::string service = service_slash_method.substr(0, slash);
  RETURN_IF_ERROR_WITH(Load("file_containing_symbol", service, 0), service);
  const auto* type = pool_.FindServiceByName(service);
  const MethodDescriptor* method =
      type == nullptr
          ? nullptr
          : type->FindMethodByName(service_slash_method.substr(slash + 1));
  if (method == nullptr) {
    return absl::NotFoundError(
        fmt::format("the server has no method {}", service_slash_method));
  }
  return method;
}

absl::StatusOr<std::string> ReflectionClient::Describe(
    const std::string& symbol) {
  RETURN_IF_ERROR_WITH(Load("file_containing_symbol", symbol, 0), symbol);
  if (const auto* service = pool_.FindServiceByName(symbol)) {
    return service->DebugString();
  }
  if (const auto* message = pool_.FindMessageTypeByName(symbol)) {
    return message->DebugString();
  }
  if (const auto* enumeration = pool_.FindEnumTypeByName(symbol)) {
    return enumeration->DebugString();
  }
  if (const auto* method = pool_.FindMethodByName(symbol)) {
    return method->DebugString();
  }
  return absl::NotFoundError(fmt::format("the server has no {}", symbol));
}

}  // namespace vmattest::cli
