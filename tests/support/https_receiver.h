#ifndef VMATTEST_TESTS_SUPPORT_HTTPS_RECEIVER_H_
#define VMATTEST_TESTS_SUPPORT_HTTPS_RECEIVER_H_

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace vmattest::testing {

// A web server over TLS on localhost: answers each request with 204 and keeps
// its text. Throws if it cannot listen.
class HttpsReceiver {
 public:
  HttpsReceiver(const std::filesystem::path& certificate,
                const std::filesystem::path& private_key);
  HttpsReceiver(const HttpsReceiver&) = delete;
  HttpsReceiver& operator=(const HttpsReceiver&) = delete;
  ~HttpsReceiver();

  [[nodiscard]] std::string url() const;
  // Head and body of each, as they came.
  [[nodiscard]] std::vector<std::string> requests() const;

 private:
  struct Server;
  std::unique_ptr<Server> server_;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_HTTPS_RECEIVER_H_
