#include "rpc/server.h"

#include <sys/stat.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "fmt/format.h"
#include "grpc/health/v1/health.pb.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/impl/server_builder_option.h"
#include "grpcpp/security/auth_metadata_processor.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_credentials_options.h"
#include "grpcpp/server_builder.h"
#include "rpc/call_context.h"
#include "rpc/status/status_mapping.h"

namespace vmattest::rpc {
namespace {

constexpr unsigned kTlsRefreshSeconds = 2;
constexpr int kMaxMetadataBytes = 16 << 10;
constexpr int kKeepaliveMs = 60'000;
constexpr int kKeepaliveTimeoutMs = 20'000;
constexpr int kMinClientPingMs = 10'000;

// Linking gRPC's reflection library gives it to every server of the process;
// this makes it the server's own choice.
class Reflection final : public grpc::ServerBuilderOption {
 public:
  explicit Reflection(bool wanted) : wanted_(wanted) {}
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>*
                         plugins) override {
    using grpc::reflection::ProtoServerReflectionPlugin;
    std::erase_if(*plugins, [](const auto& plugin) {
      return dynamic_cast<ProtoServerReflectionPlugin*>(plugin.get()) !=
             nullptr;
    });
    if (wanted_) {
      // Also what reflection says about health: its schema must be linked.
      (void)grpc::health::v1::HealthCheckRequest::descriptor();
      plugins->push_back(std::make_unique<ProtoServerReflectionPlugin>());
    }
  }

 private:
  const bool wanted_;
};

// Denies health and reflection to whoever has no grant; our own services deny
// in their handlers, with reasons.
class GrantedClientsOnly final : public grpc::AuthMetadataProcessor {
 public:
  explicit GrantedClientsOnly(const Authorizer& authorizer)
      : authorizer_(authorizer) {}
  bool IsBlocking() const override { return false; }
  grpc::Status Process(const InputMetadata& metadata,
                       grpc::AuthContext* context, OutputMetadata*,
                       OutputMetadata*) override {
    const auto path = metadata.find(":path");
    if (path != metadata.end() && path->second.starts_with("/vmattest.v1.")) {
      return grpc::Status::OK;
    }
    return ToGrpc(authorizer_.AuthorizeConnection(IdentitiesOf(*context)));
  }

 private:
  const Authorizer& authorizer_;
};

std::shared_ptr<grpc::ServerCredentials> MutualTls(
    const TlsFiles& files, const Authorizer& authorizer) {
  namespace tls = grpc::experimental;
  tls::TlsServerCredentialsOptions options(
      std::make_shared<tls::FileWatcherCertificateProvider>(
          files.private_key.string(), files.certificate.string(),
          files.client_ca.string(), kTlsRefreshSeconds));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  auto credentials = tls::TlsServerCredentials(options);
  credentials->SetAuthMetadataProcessor(
      std::make_shared<GrantedClientsOnly>(authorizer));
  return credentials;
}

void Limit(grpc::ServerBuilder& builder, const ServerLimits& limits) {
  builder.SetMaxReceiveMessageSize(static_cast<int>(limits.max_message_bytes));
  const std::pair<const char*, int> arguments[] = {
      {GRPC_ARG_ALLOW_REUSEPORT, 0},
      {GRPC_ARG_MAX_CONCURRENT_STREAMS,
       static_cast<int>(limits.max_concurrent_streams)},
      {GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes},
      {GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs},
      {GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs},
      {GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
       kMinClientPingMs}};
  for (const auto& [name, value] : arguments) {
    builder.AddChannelArgument(name, value);
  }
}

}  // namespace

Server::Server(Listener listener, const std::vector<ClientGrant>& grants,
               const ServiceMaker& services)
    : authorizer_(listener, grants), services_(services(authorizer_)) {}

Server::~Server() { Shutdown(std::chrono::system_clock::now()); }

absl::StatusOr<std::unique_ptr<Server>> Server::StartOnSocket(
    Listener listener, const std::filesystem::path& path,
    const std::string& group, const ServiceMaker& services,
    const ServerLimits& limits) {
  std::unique_ptr<Server> server(new Server(listener, {}, services));
  ASSIGN_OR_RETURN(server->lock_, UnixSocketLock::Take(path));
  const mode_t before = umask(0177);
  const absl::Status started =
      server->Start(fmt::format("unix:{}", path.string()),
                    grpc::InsecureServerCredentials(), limits);
  umask(before);
  RETURN_IF_ERROR(started);
  if (listener == Listener::kReadSocket) {
    RETURN_IF_ERROR(SetSocketAccess(path, 0660, group));
  }
  return server;
}

absl::StatusOr<std::unique_ptr<Server>> Server::StartOnTcp(
    const std::string& address, const TlsFiles& files,
    const std::vector<ClientGrant>& grants, const ServiceMaker& services,
    const ServerLimits& limits) {
  RETURN_IF_ERROR(CheckTlsFiles(files));
  std::unique_ptr<Server> server(new Server(Listener::kTcp, grants, services));
  RETURN_IF_ERROR(
      server->Start(address, MutualTls(files, server->authorizer_), limits));
  return server;
}

absl::Status Server::Start(const std::string& uri,
                           std::shared_ptr<grpc::ServerCredentials> credentials,
                           const ServerLimits& limits) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  Limit(builder, limits);
  builder.AddListeningPort(uri, std::move(credentials), &port_);
  for (const ServedService& served : services_) {
    builder.RegisterService(served.service.get());
  }
  builder.SetOption(std::make_unique<Reflection>(limits.reflection));
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) {
    return absl::FailedPreconditionError(
        fmt::format("cannot listen on {}: in use, or not allowed", uri));
  }
  grpc::HealthCheckServiceInterface& health = *server_->GetHealthCheckService();
  health.SetServingStatus(false);
  for (const ServedService& served : services_) {
    health.SetServingStatus(served.name, served.needs.empty());
  }
  return absl::OkStatus();
}

void Server::Follow(const ops::Health& health) {
  grpc::HealthCheckServiceInterface& service =
      *server_->GetHealthCheckService();
  bool all = true;
  for (const ServedService& served : services_) {
    const bool serving = std::all_of(
        served.needs.begin(), served.needs.end(),
        [&](const std::string& needed) { return health.Get(needed).ok(); });
    service.SetServingStatus(served.name, serving);
    all = all && serving;
  }
  service.SetServingStatus("", all);
}

void Server::Shutdown(std::chrono::system_clock::time_point deadline) {
  if (server_ != nullptr) {
    server_->Shutdown(deadline);
    server_->Wait();
    server_.reset();
  }
}

void Server::ShutdownAll(std::span<const std::unique_ptr<Server>> servers,
                         std::chrono::system_clock::time_point deadline) {
  std::vector<std::thread> shutdowns;
  shutdowns.reserve(servers.size());
  for (const auto& server : servers) {
    shutdowns.emplace_back([&server, deadline] { server->Shutdown(deadline); });
  }
  for (std::thread& shutdown : shutdowns) {
    shutdown.join();
  }
}

}  // namespace vmattest::rpc
