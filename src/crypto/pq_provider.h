#ifndef VMATTEST_CRYPTO_PQ_PROVIDER_H_
#define VMATTEST_CRYPTO_PQ_PROVIDER_H_

#include <openssl/types.h>

#include <filesystem>
#include <memory>
#include <string>

#include "base/status.h"

namespace vmattest {

// OpenSSL 3.5's FIPS module inside an older libcrypto. Loaded plainly, 3.0
// refuses its ML-DSA: the module offers functions of 3.4 that 3.0 takes for a
// table with holes. So a built-in provider stands between the two: it loads the
// module, answers for its configuration, and shows libcrypto only key
// management and one-shot signing of ML-DSA.
//
// All of it is in a library context of its own: the default one, and whatever
// else uses OpenSSL in the process, is as before. This is OpenSSL's FIPS code,
// and no claim of FIPS validation.
class PqProvider {
 public:
  // `path` is fips.so; fipsmodule.cnf, which `openssl fipsinstall` writes, lies
  // beside it and holds the MAC that the module must have. Runs the module's
  // self-tests. Callable from any thread.
  // NOT_FOUND, PERMISSION_DENIED: as for any file. FAILED_PRECONDITION: the
  // module, its configuration or their folder could be written by somebody who
  // is neither root nor this process' user, or it is no such module. DATA_LOSS:
  // its MAC is another, or it failed its self-tests.
  static absl::StatusOr<std::unique_ptr<PqProvider>> Load(
      const std::filesystem::path& path);

  PqProvider(const PqProvider&) = delete;
  PqProvider& operator=(const PqProvider&) = delete;
  // No key or operation of the context may be left.
  ~PqProvider();

  [[nodiscard]] const std::string& path() const;
  // Give both to every EVP call that fetches an algorithm.
  [[nodiscard]] OSSL_LIB_CTX* context() const;
  static constexpr const char* kProperties = "provider=vmattest-pq";

  struct Bridge;

 private:
  explicit PqProvider(std::unique_ptr<Bridge> bridge);

  std::unique_ptr<Bridge> bridge_;
};

}  // namespace vmattest

#endif  // VMATTEST_CRYPTO_PQ_PROVIDER_H_
