#include "support/https_receiver.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <cstdlib>
#include <stdexcept>
#include <thread>

#include "base/handles.h"
#include "base/mutex.h"
#include "fmt/format.h"

namespace vmattest::testing {
namespace {

constexpr char kAnswer[] =
    "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n"
    "Connection: close\r\n\r\n";

bool Whole(const std::string& request) {
  const size_t head = request.find("\r\n\r\n");
  const size_t length = request.find("Content-Length: ");
  return head != std::string::npos &&
         (length == std::string::npos ||
          request.size() >=
              head + 4 + std::strtoul(&request[length + 16], nullptr, 10));
}

}  // namespace

struct HttpsReceiver::Server {
  void Serve() {
    while (true) {
      const UniqueFd peer(accept(listener.get(), nullptr, nullptr));
      if (!peer.valid()) {
        return;
      }
      const std::unique_ptr<SSL, decltype(&SSL_free)> tls(SSL_new(context),
                                                          SSL_free);
      SSL_set_fd(tls.get(), peer.get());
      if (SSL_accept(tls.get()) != 1) {
        continue;
      }
      std::string request;
      char buffer[4096];
      while (!Whole(request)) {
        const int got = SSL_read(tls.get(), buffer, sizeof(buffer));
        if (got <= 0) {
          break;
        }
        request.append(buffer, static_cast<size_t>(got));
      }
      SSL_write(tls.get(), kAnswer, sizeof(kAnswer) - 1);
      SSL_shutdown(tls.get());
      const MutexLock lock(mutex);
      requests.push_back(std::move(request));
    }
  }

  SSL_CTX* context = nullptr;
  UniqueFd listener;
  uint16_t port = 0;
  mutable Mutex mutex;
  std::vector<std::string> requests GUARDED_BY(mutex);
  std::thread thread;
};

HttpsReceiver::HttpsReceiver(const std::filesystem::path& certificate,
                             const std::filesystem::path& private_key)
    : server_(std::make_unique<Server>()) {
  server_->context = SSL_CTX_new(TLS_server_method());
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  server_->listener = UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  auto* name = reinterpret_cast<sockaddr*>(&address);
  if (SSL_CTX_use_certificate_chain_file(server_->context,
                                         certificate.c_str()) != 1 ||
      SSL_CTX_use_PrivateKey_file(server_->context, private_key.c_str(),
                                  SSL_FILETYPE_PEM) != 1 ||
      bind(server_->listener.get(), name, size) != 0 ||
      listen(server_->listener.get(), 8) != 0 ||
      getsockname(server_->listener.get(), name, &size) != 0) {
    throw std::runtime_error("cannot listen with TLS");
  }
  server_->port = ntohs(address.sin_port);
  server_->thread = std::thread([this] { server_->Serve(); });
}

HttpsReceiver::~HttpsReceiver() {
  shutdown(server_->listener.get(), SHUT_RDWR);
  server_->thread.join();
  SSL_CTX_free(server_->context);
}

std::string HttpsReceiver::url() const {
  return fmt::format("https://localhost:{}/decisions", server_->port);
}

std::vector<std::string> HttpsReceiver::requests() const {
  const MutexLock lock(server_->mutex);
  return server_->requests;
}

}  // namespace vmattest::testing
