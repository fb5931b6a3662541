#ifndef VMATTEST_CRYPTO_OPENSSL_ERRORS_H_
#define VMATTEST_CRYPTO_OPENSSL_ERRORS_H_

#include <string>
#include <string_view>

// Return codes decide; OpenSSL's error queue only explains. Both functions use
// the calling thread's queue.

namespace vmattest {

// Empties the queue into one line, oldest first; "no detail" if it was empty.
std::string DrainOpenSslErrors();

// Ends the process if `ok` is false: for what can only fail by a broken
// invariant (a digest that libcrypto always has, memory).
void RequireOpenSsl(bool ok, std::string_view what);

// Leaves the queue as it found it: for code whose failures are verdicts.
class OpenSslErrorScope {
 public:
  OpenSslErrorScope();
  OpenSslErrorScope(const OpenSslErrorScope&) = delete;
  OpenSslErrorScope& operator=(const OpenSslErrorScope&) = delete;
  ~OpenSslErrorScope();
};

}  // namespace vmattest

#endif  // VMATTEST_CRYPTO_OPENSSL_ERRORS_H_
