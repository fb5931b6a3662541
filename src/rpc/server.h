#ifndef VMATTEST_RPC_SERVER_H_
#define VMATTEST_RPC_SERVER_H_

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "grpcpp/impl/service_type.h"
#include "grpcpp/server.h"
#include "ops/health.h"
#include "rpc/authorizer.h"
#include "rpc/tls_files.h"
#include "rpc/unix_socket.h"

namespace vmattest::rpc {

// One service of a server.
struct ServedService {
  std::string name;  // "vmattest.v1.Attestation"
  std::unique_ptr<grpc::Service> service;
  // Components (ops::Health) without which it is NOT_SERVING.
  std::vector<std::string> needs;
};

// Makes what one listener serves. The authorizer outlives the services; its
// listener says where they are served.
using ServiceMaker =
    std::function<std::vector<ServedService>(const Authorizer& authorizer)>;

struct ServerLimits {
  uint32_t max_message_bytes = 1u << 20;
  uint32_t max_concurrent_streams = 1024;  // per connection
  bool reflection = true;
};

// One gRPC server on one listener, so that the listener is the authority.
// Serves what it is given, health for each service and for "" (all of them),
// and reflection. Started and shut down from the main thread.
class Server {
 public:
  // Mode 0600 on the admin socket; 0660 and `group`, if any, on the read
  // socket. Changes the umask for a moment: start before other threads make
  // files. FAILED_PRECONDITION: the socket is in use.
  static absl::StatusOr<std::unique_ptr<Server>> StartOnSocket(
      Listener listener, const std::filesystem::path& path,
      const std::string& group, const ServiceMaker& services,
      const ServerLimits& limits);

  // Mutual TLS; the files are read again within seconds of a change.
  // Needs DemandTls13() first. Port 0 takes any: port().
  static absl::StatusOr<std::unique_ptr<Server>> StartOnTcp(
      const std::string& address, const TlsFiles& files,
      const std::vector<ClientGrant>& grants, const ServiceMaker& services,
      const ServerLimits& limits);

  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  // Makes the health service say what `health` says. Any thread.
  void Follow(const ops::Health& health);
  // Refuses new calls, cancels the others at `deadline`, returns when none is
  // left. Idempotent.
  void Shutdown(std::chrono::system_clock::time_point deadline);
  // All of them at the same time.
  static void ShutdownAll(std::span<const std::unique_ptr<Server>> servers,
                          std::chrono::system_clock::time_point deadline);

  [[nodiscard]] int port() const { return port_; }

 private:
  Server(Listener listener, const std::vector<ClientGrant>& grants,
         const ServiceMaker& services);
  absl::Status Start(const std::string& uri,
                     std::shared_ptr<grpc::ServerCredentials> credentials,
                     const ServerLimits& limits);

  const Authorizer authorizer_;
  std::optional<UnixSocketLock> lock_;
  std::vector<ServedService> services_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_SERVER_H_
