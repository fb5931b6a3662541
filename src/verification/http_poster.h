#ifndef VMATTEST_VERIFICATION_HTTP_POSTER_H_
#define VMATTEST_VERIFICATION_HTTP_POSTER_H_

#include <chrono>
#include <string>
#include <vector>

#include "base/status.h"

namespace vmattest::verification {

// Sends one HTTP request. One thread at a time; blocks until `timeout`.
class HttpPoster {
 public:
  virtual ~HttpPoster() = default;
  // OK: answered with 2xx. INVALID_ARGUMENT: answered with 4xx, which trying
  // again does not change (but for 408 and 429). Else UNAVAILABLE.
  virtual absl::Status Post(const std::string& url,
                            const std::vector<std::string>& headers,
                            const std::string& body,
                            std::chrono::milliseconds timeout) = 0;
};

}  // namespace vmattest::verification

#endif  // VMATTEST_VERIFICATION_HTTP_POSTER_H_
