#ifndef VMATTEST_VERIFIER_CONTEXT_H_
#define VMATTEST_VERIFIER_CONTEXT_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "evidence/evidence.h"
#include "evidence/statement.h"
#include "evidence/tpm_structures.h"
#include "vmattest/verifier/verifier.h"

namespace vmattest::verifier {

// What one check found. Passing has to be said: a default-made result, or one
// from a path that nobody thought of, is a failure (rule S39).
class CheckResult {
 public:
  CheckResult() = default;
  static CheckResult Pass() {
    CheckResult result;
    result.passed_ = true;
    return result;
  }
  static CheckResult Fail(std::string_view code, std::string element,
                          std::string expected, std::string found) {
    return Fail({Reason{std::string(code), std::move(element),
                        std::move(expected), std::move(found)}});
  }
  static CheckResult Fail(std::vector<Reason> reasons) {
    CheckResult result;
    result.reasons_ = std::move(reasons);
    return result;
  }

  [[nodiscard]] bool passed() const { return passed_; }
  [[nodiscard]] const std::vector<Reason>& reasons() const { return reasons_; }

 private:
  bool passed_ = false;
  std::vector<Reason> reasons_;
};

// All that the checks look at. The structure check fills it, the others read.
// Pointers are into `evidence`: not copyable.
struct Context {
  Context(const Anchors& known_hosts, const Policy& demands, WallTime when)
      : anchors(known_hosts), policy(demands), now(when) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const Anchors& anchors;
  const Policy& policy;
  const WallTime now;

  evidence::Evidence evidence;
  evidence::ConfigStatement statement;
  KeyPurpose purpose = KeyPurpose::kConfig;
  const evidence::TpmQuoteSignature* quote = nullptr;
  evidence::Attest attest;
  evidence::EcdsaSignature quote_signature;
  const evidence::KeyCertification* certification = nullptr;
  evidence::EccPublicArea purpose_key;
  // Null until looked up, and if the anchors do not know the host.
  const Anchors::Host* host = nullptr;
};

}  // namespace vmattest::verifier

#endif  // VMATTEST_VERIFIER_CONTEXT_H_
