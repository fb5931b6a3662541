#include "rpc/client/tls_channel.h"

#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_credentials_options.h"
#include "grpcpp/support/channel_arguments.h"
#include "rpc/tls_files.h"

namespace vmattest::rpc {
namespace {

constexpr unsigned kRefreshSeconds = 2;
constexpr int kMaxReconnectMs = 5'000;

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> TlsChannel(
    const std::string& address, const ClientTls& tls,
    size_t max_message_bytes) {
  RETURN_IF_ERROR(CheckTlsFiles({.certificate = tls.certificate,
                                 .private_key = tls.private_key,
                                 .client_ca = tls.ca}));
  namespace experimental = grpc::experimental;
  experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(
      std::make_shared<experimental::FileWatcherCertificateProvider>(
          tls.private_key.string(), tls.certificate.string(), tls.ca.string(),
          kRefreshSeconds));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(static_cast<int>(max_message_bytes));
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxReconnectMs);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  if (!tls.server_name.empty()) {
    arguments.SetSslTargetNameOverride(tls.server_name);
  }
  // Each its own connection: certificates differ.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(
      address, experimental::TlsCredentials(options), arguments);
}

}  // namespace vmattest::rpc
