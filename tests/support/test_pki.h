#ifndef VMATTEST_TESTS_SUPPORT_TEST_PKI_H_
#define VMATTEST_TESTS_SUPPORT_TEST_PKI_H_

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "support/temp_dir.h"

namespace vmattest::testing {

// Where one certificate and its key lie, PEM.
struct CertificateFiles {
  std::filesystem::path certificate;
  std::filesystem::path private_key;
};

// A private certificate authority in a folder of its own: ECDSA P-256,
// certificates of a day. Throws if OpenSSL fails.
class TestPki {
 public:
  TestPki();
  ~TestPki();
  TestPki(const TestPki&) = delete;
  TestPki& operator=(const TestPki&) = delete;

  [[nodiscard]] std::filesystem::path ca() const { return ca_; }

  // Names are as in the extension: "DNS:localhost", "IP:127.0.0.1",
  // "URI:spiffe://a/b". `name` is the files' stem; issuing it again replaces
  // both files by renaming. A negative `lifetime` has expired.
  CertificateFiles Issue(
      const std::string& name, const std::vector<std::string>& alternatives,
      std::chrono::seconds lifetime = std::chrono::hours(24));
  CertificateFiles IssueServer() {
    return Issue("server", {"DNS:localhost", "IP:127.0.0.1"});
  }
  CertificateFiles IssueClient(const std::string& name,
                               const std::string& uri) {
    return Issue(name, {"URI:" + uri});
  }

 private:
  struct Authority;
  TempDir dir_;
  std::filesystem::path ca_;
  std::unique_ptr<Authority> authority_;
  long serial_ = 1;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_TEST_PKI_H_
