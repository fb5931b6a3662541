#include "verification/curl/curl_poster.h"

#include <curl/curl.h>

#include <utility>

#include "base/handles.h"
#include "fmt/format.h"

namespace vmattest::verification {
namespace {

constexpr size_t kMaxAnswer = 64u << 10;
constexpr long kTimedOut = 408;
constexpr long kTooMany = 429;

using Headers = std::unique_ptr<curl_slist, Closer<curl_slist_free_all>>;

size_t CountAnswer(char*, size_t size, size_t count, void* seen) {
  size_t& total = *static_cast<size_t*>(seen);
  total += size * count;
  return total > kMaxAnswer ? 0 : size * count;
}

// To what docs/adr says that it may do.
void Restrict(CURL* curl) {
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_PROXY, "");
  curl_easy_setopt(curl, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_SSLVERSION,
                   static_cast<long>(CURL_SSLVERSION_TLSv1_2));
}

absl::Status ToStatus(long code) {
  if (code >= 200 && code < 300) {
    return absl::OkStatus();
  }
  const std::string text = fmt::format("the server answered {}", code);
  if (code >= 400 && code < 500 && code != kTimedOut && code != kTooMany) {
    return absl::InvalidArgumentError(text);
  }
  return absl::UnavailableError(text);
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpPoster>> CurlPoster::Create(
    std::optional<std::filesystem::path> ca) {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  CURL* curl = started == CURLE_OK ? curl_easy_init() : nullptr;
  if (curl == nullptr) {
    return absl::InternalError("libcurl cannot begin");
  }
  return std::unique_ptr<HttpPoster>(new CurlPoster(curl, std::move(ca)));
}

CurlPoster::~CurlPoster() { curl_easy_cleanup(curl_); }

absl::Status CurlPoster::Post(const std::string& url,
                              const std::vector<std::string>& headers,
                              const std::string& body,
                              std::chrono::milliseconds timeout) {
  curl_easy_reset(curl_);
  curl_slist* list = curl_slist_append(nullptr, "Expect:");
  for (const std::string& header : headers) {
    list = curl_slist_append(list, header.c_str());
  }
  const Headers owner(list);
  size_t seen = 0;
  char why[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(curl_, CURLOPT_URL, url.c_str());
  Restrict(curl_);
  curl_easy_setopt(curl_, CURLOPT_TIMEOUT_MS,
                   static_cast<long>(timeout.count()));
  curl_easy_setopt(curl_, CURLOPT_HTTPHEADER, list);
  curl_easy_setopt(curl_, CURLOPT_POSTFIELDS, body.data());
  curl_easy_setopt(curl_, CURLOPT_POSTFIELDSIZE_LARGE,
                   static_cast<curl_off_t>(body.size()));
  curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, CountAnswer);
  curl_easy_setopt(curl_, CURLOPT_WRITEDATA, &seen);
  curl_easy_setopt(curl_, CURLOPT_ERRORBUFFER, why);
  if (ca_) {
    curl_easy_setopt(curl_, CURLOPT_CAINFO, ca_->c_str());
  }
  if (const CURLcode code = curl_easy_perform(curl_); code != CURLE_OK) {
    return absl::UnavailableError(why[0] != '\0' ? std::string(why)
                                                 : curl_easy_strerror(code));
  }
  long answer = 0;
  curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &answer);
  return ToStatus(answer);
}

}  // namespace vmattest::verification
