#ifndef VMATTEST_CLI_REFLECTION_CLIENT_H_
#define VMATTEST_CLI_REFLECTION_CLIENT_H_

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/generic_call.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor_database.h"
#include "google/protobuf/dynamic_message.h"
#include "grpcpp/channel.h"

namespace vmattest::cli {

// Learns a server's services from itself: gRPC server reflection, v1 and,
// where that is not served, v1alpha. The protocol's own messages are built at
// run time, since only one copy of their schema may be linked into a program.
// Blocks. Not for several threads at once.
class ReflectionClient {
 public:
  ReflectionClient(std::shared_ptr<grpc::Channel> channel, CallOptions options);

  absl::StatusOr<std::vector<std::string>> ListServices();
  // The descriptors stay valid as long as the client.
  // NOT_FOUND: the server has no such symbol.
  absl::StatusOr<const google::protobuf::MethodDescriptor*> FindMethod(
      const std::string& service_slash_method);
  // The .proto text of a service, message, enum or method.
  absl::StatusOr<std::string> Describe(const std::string& symbol);

 private:
  using Message = google::protobuf::Message;
  absl::StatusOr<std::unique_ptr<Message>> Ask(const std::string& field,
                                               const std::string& value);
  absl::StatusOr<std::unique_ptr<Message>> AskVersion(
      const std::string& package, const std::string& field,
      const std::string& value);
  absl::Status Load(const std::string& field, const std::string& value,
                    int depth);

  const std::shared_ptr<grpc::Channel> channel_;
  const CallOptions options_;
  std::string package_;  // the version that the server speaks, once known

  google::protobuf::DescriptorPool protocol_;
  google::protobuf::DynamicMessageFactory factory_;
  google::protobuf::SimpleDescriptorDatabase files_;
  google::protobuf::DescriptorPool pool_;
};

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_REFLECTION_CLIENT_H_
