#include "verification/curl/curl_poster.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "base/handles.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/matchers.h"

namespace vmattest::verification {
namespace {

using testing::IsOk;
using testing::StatusIs;

// Answers each connection with `answer`, once it has read a whole request.
class HttpServer {
 public:
  explicit HttpServer(std::string answer)
      : answer_(std::move(answer)),
        fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(fd_.get(), 4), 0);
    getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Serve(); });
  }
  ~HttpServer() {
    shutdown(fd_.get(), SHUT_RDWR);
    thread_.join();
  }
  [[nodiscard]] std::string url() const {
    return fmt::format("http://127.0.0.1:{}/hook", port_);
  }
  [[nodiscard]] const std::string& request() const { return request_; }

 private:
  void Serve() {
    while (true) {
      const UniqueFd peer(accept(fd_.get(), nullptr, nullptr));
      if (!peer.valid()) {
        return;
      }
      std::string request;
      char buffer[4096];
      while (request.find("\r\n\r\n{}") == std::string::npos) {
        const ssize_t got = read(peer.get(), buffer, sizeof(buffer));
        if (got <= 0) {
          break;
        }
        request.append(buffer, static_cast<size_t>(got));
      }
      request_ = request;
      (void)!write(peer.get(), answer_.data(), answer_.size());
    }
  }

  const std::string answer_;
  UniqueFd fd_;
  int port_ = 0;
  std::string request_;
  std::thread thread_;
};

std::string Answer(const std::string& status, const std::string& more = "") {
  return fmt::format(
      "HTTP/1.1 {}\r\nContent-Length: 0\r\nConnection: close\r\n{}\r\n", status,
      more);
}

absl::Status Post(const std::string& url) {
  auto poster = CurlPoster::Create(std::nullopt).value();
  return poster->Post(url, {"Content-Type: application/json", "X-Test: 1"},
                      "{}", std::chrono::seconds(10));
}

TEST(CurlPoster, PostsHeadersAndBody) {
  HttpServer server(Answer("204 No Content"));
  EXPECT_THAT(Post(server.url()), IsOk());
  EXPECT_THAT(server.request(), ::testing::StartsWith("POST /hook HTTP/1.1"));
  EXPECT_THAT(server.request(), ::testing::HasSubstr("X-Test: 1\r\n"));
  EXPECT_THAT(server.request(), ::testing::EndsWith("\r\n\r\n{}"));
}

TEST(CurlPoster, ToldApartIsWhatMayWorkLater) {
  const std::pair<const char*, absl::StatusCode> cases[] = {
      {"400 Bad Request", absl::StatusCode::kInvalidArgument},
      {"404 Not Found", absl::StatusCode::kInvalidArgument},
      {"408 Request Timeout", absl::StatusCode::kUnavailable},
      {"429 Too Many Requests", absl::StatusCode::kUnavailable},
      {"500 Oops", absl::StatusCode::kUnavailable}};
  for (const auto& [status, code] : cases) {
    HttpServer server(Answer(status));
    EXPECT_THAT(Post(server.url()), StatusIs(code)) << status;
  }
}

TEST(CurlPoster, FollowsNoRedirect) {
  HttpServer elsewhere(Answer("204 No Content"));
  HttpServer server(
      Answer("302 Found", fmt::format("Location: {}\r\n", elsewhere.url())));
  EXPECT_THAT(Post(server.url()), StatusIs(absl::StatusCode::kUnavailable));
}

TEST(CurlPoster, OtherSchemesAndSilentServersAreErrors) {
  EXPECT_THAT(Post("file:///etc/passwd"),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Post("http://127.0.0.1:1/"),
              StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace vmattest::verification
