#include "cli/connection.h"

#include "base/file.h"
#include "fmt/format.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"

namespace vmattest::cli {
namespace {

constexpr size_t kMaxPem = 1u << 20;
constexpr int kMaxAnswer = 64 << 20;

absl::StatusOr<std::string> ReadPem(const std::string& path) {
  ASSIGN_OR_RETURN(const Bytes pem, ReadFile(path, kMaxPem));
  return std::string(AsText(pem));
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> Connect(
    const ConnectionArgs& args) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxAnswer);
  if (args.address.empty()) {
    return grpc::CreateCustomChannel(fmt::format("unix:{}", args.socket),
                                     grpc::InsecureChannelCredentials(),
                                     arguments);
  }
  if (args.certificate.empty() || args.private_key.empty() ||
      args.authority.empty()) {
    return absl::InvalidArgumentError(
        "--address needs --cert, --key and --ca: the daemon accepts no client "
        "without a certificate");
  }
  grpc::SslCredentialsOptions options;
  ASSIGN_OR_RETURN(options.pem_cert_chain, ReadPem(args.certificate));
  ASSIGN_OR_RETURN(options.pem_private_key, ReadPem(args.private_key));
  ASSIGN_OR_RETURN(options.pem_root_certs, ReadPem(args.authority));
  return grpc::CreateCustomChannel(args.address, grpc::SslCredentials(options),
                                   arguments);
}

}  // namespace vmattest::cli
