#include "cli/call_command.h"

#include <cstdio>

#include "cli/exit_code.h"
#include "cli/generic_call.h"
#include "cli/print.h"
#include "cli/reflection_client.h"
#include "fmt/format.h"
#include "google/protobuf/dynamic_message.h"
#include "google/protobuf/util/json_util.h"

namespace vmattest::cli {
namespace {

using google::protobuf::Message;
using google::protobuf::MethodDescriptor;

constexpr std::chrono::seconds kQuick{60};
constexpr std::chrono::hours kStream{24 * 365};

absl::StatusOr<CallOptions> Options(const CallArgs& args,
                                    std::chrono::seconds otherwise) {
  CallOptions options;
  const std::chrono::seconds timeout =
      args.connection.timeout.count() > 0 ? args.connection.timeout : otherwise;
  options.deadline = std::chrono::system_clock::now() + timeout;
  for (const std::string& header : args.headers) {
    const size_t colon = header.find(':');
    if (colon == std::string::npos || colon == 0) {
      return absl::InvalidArgumentError(
          fmt::format("header '{}' is not NAME: VALUE", header));
    }
    const size_t value = header.find_first_not_of(' ', colon + 1);
    options.headers.emplace(
        header.substr(0, colon),
        value == std::string::npos ? "" : header.substr(value));
  }
  return options;
}

absl::Status FromProtobuf(const google::protobuf::util::Status& status,
                          std::string_view what) {
  return status.ok() ? absl::OkStatus()
                     : absl::InvalidArgumentError(fmt::format(
                           "{}: {}", what, std::string(status.message())));
}

absl::Status CallMethod(const std::shared_ptr<grpc::Channel>& channel,
                        const CallArgs& args, const MethodDescriptor& method,
                        const std::function<void(const std::string&)>& print) {
  namespace util = google::protobuf::util;
  google::protobuf::DynamicMessageFactory factory;
  const std::unique_ptr<Message> request(
      factory.GetPrototype(method.input_type())->New());
  if (!args.argument.empty()) {
    RETURN_IF_ERROR(FromProtobuf(
        util::JsonStringToMessage(args.argument, request.get()), "request"));
  }
  ASSIGN_OR_RETURN(const CallOptions options,
                   Options(args, method.server_streaming() ? kStream : kQuick));
  const Message* prototype = factory.GetPrototype(method.output_type());
  util::JsonPrintOptions style;
  style.add_whitespace = !method.server_streaming();
  return GenericCall(
      channel,
      fmt::format("{}/{}", method.service()->full_name(), method.name()),
      request->SerializeAsString(), options, [&](const std::string& bytes) {
        const std::unique_ptr<Message> response(prototype->New());
        if (!response->ParseFromString(bytes)) {
          return absl::InternalError("the answer does not parse");
        }
        std::string json;
        RETURN_IF_ERROR(FromProtobuf(
            util::MessageToJsonString(*response, &json, style), "answer"));
        print(json);
        return absl::OkStatus();
      });
}

}  // namespace

absl::Status CallByName(const std::shared_ptr<grpc::Channel>& channel,
                        const CallArgs& args,
                        const std::function<void(const std::string&)>& print) {
  ASSIGN_OR_RETURN(CallOptions options, Options(args, kQuick));
  ReflectionClient reflection(channel, std::move(options));
  if (args.method == "describe" ||
      (args.method == "list" && !args.argument.empty())) {
    ASSIGN_OR_RETURN(const std::string text,
                     reflection.Describe(args.argument));
    print(text);
    return absl::OkStatus();
  }
  if (args.method == "list") {
    ASSIGN_OR_RETURN(const std::vector<std::string> services,
                     reflection.ListServices());
    for (const std::string& service : services) {
      print(service);
    }
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const MethodDescriptor* method,
                   reflection.FindMethod(args.method));
  if (method->client_streaming()) {
    return absl::UnimplementedError(
        fmt::format("{} takes a stream of requests", args.method));
  }
  return CallMethod(channel, args, *method, print);
}

int RunCall(const CallArgs& args) {
  const auto channel = Connect(args.connection);
  if (!channel.ok()) {
    return Fail(channel.status());
  }
  const absl::Status called = CallByName(
      *channel, args, [](const std::string& text) { PrintLine(text); });
  return called.ok() ? kExitGood : Fail(called);
}

}  // namespace vmattest::cli
