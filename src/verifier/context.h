#ifndef VMATTEST_VERIFIER_CONTEXT_H_
#define VMATTEST_VERIFIER_CONTEXT_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "evidence/disclosure.h"
#include "evidence/evidence.h"
#include "evidence/ledger_key.h"
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

  // Of a disclosure only envelope and keys are filled.
  evidence::Evidence evidence;
  // Set, empty, before the first check if the file is to be a disclosure.
  std::optional<std::vector<evidence::DisclosedLeaf>> disclosed;
  // Of other payloads only the header is filled (and of a state payload
  // algorithm, root and the VM's state): with what theirs says.
  evidence::ConfigStatement statement;
  std::optional<evidence::HostLogStatement> host_log;
  std::optional<evidence::StateStatement> state;
  std::optional<evidence::LedgerKeyStatement> ledger_key;
  KeyPurpose purpose = KeyPurpose::kConfig;
  const evidence::TpmQuoteSignature* quote = nullptr;
  // The post-quantum signature, if there is one.
  const evidence::Signature* pq = nullptr;
  evidence::Attest attest;
  evidence::EcdsaSignature quote_signature;
  const evidence::KeyCertification* certification = nullptr;
  evidence::EccPublicArea purpose_key;
  // Null until looked up, and if the anchors do not know the host.
  const Anchors::Host* host = nullptr;
  // The signature checks got as far as saying yes.
  bool quote_verified = false;
  bool pq_verified = false;
};

}  // namespace vmattest::verifier

#endif  // VMATTEST_VERIFIER_CONTEXT_H_
