#include "crypto/openssl_errors.h"

#include <openssl/err.h>

#include <cstdio>
#include <cstdlib>

#include "fmt/format.h"

namespace vmattest {

std::string DrainOpenSslErrors() {
  std::string text;
  while (const unsigned long code = ERR_get_error()) {
    char line[256];
    ERR_error_string_n(code, line, sizeof line);
    text += text.empty() ? "" : "; ";
    text += line;
  }
  return text.empty() ? "no detail" : text;
}

void RequireOpenSsl(bool ok, std::string_view what) {
  if (!ok) {
    fmt::print(stderr, "OpenSSL: {} failed: {}\n", what, DrainOpenSslErrors());
    std::abort();
  }
}

OpenSslErrorScope::OpenSslErrorScope() { ERR_set_mark(); }
OpenSslErrorScope::~OpenSslErrorScope() { ERR_pop_to_mark(); }

}  // namespace vmattest
