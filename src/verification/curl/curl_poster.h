#ifndef VMATTEST_VERIFICATION_CURL_CURL_POSTER_H_
#define VMATTEST_VERIFICATION_CURL_CURL_POSTER_H_

#include <filesystem>
#include <memory>
#include <optional>

#include "verification/http_poster.h"

typedef void CURL;

namespace vmattest::verification {

// HTTP and HTTPS by libcurl. Follows no redirects, uses no proxy of the
// environment and no netrc, reads at most 64 KiB of an answer; TLS 1.2 or
// newer, certificates checked against `ca` or the system's.
class CurlPoster final : public HttpPoster {
 public:
  // INTERNAL: libcurl cannot begin.
  static absl::StatusOr<std::unique_ptr<HttpPoster>> Create(
      std::optional<std::filesystem::path> ca);
  ~CurlPoster() override;

  absl::Status Post(const std::string& url,
                    const std::vector<std::string>& headers,
                    const std::string& body,
                    std::chrono::milliseconds timeout) override;

 private:
  CurlPoster(CURL* curl, std::optional<std::filesystem::path> ca)
      : curl_(curl), ca_(std::move(ca)) {}

  CURL* const curl_;
  const std::optional<std::filesystem::path> ca_;
};

}  // namespace vmattest::verification

#endif  // VMATTEST_VERIFICATION_CURL_CURL_POSTER_H_
