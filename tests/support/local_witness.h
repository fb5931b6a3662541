#ifndef VMATTEST_TESTS_SUPPORT_LOCAL_WITNESS_H_
#define VMATTEST_TESTS_SUPPORT_LOCAL_WITNESS_H_

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "crypto/digest.h"
#include "fakes/fake_witness_store.h"
#include "ledger/checkpointer.h"

namespace vmattest::testing {

// A witness in this process, which can be away.
class LocalWitness final : public ledger::WitnessClient {
 public:
  LocalWitness(std::string name, std::vector<tlog::NoteVerifier> logs,
               tlog::Witness::Now now)
      : name_(std::move(name)) {
    std::vector<std::unique_ptr<tlog::NoteSigner>> signers;
    signers.push_back(*tlog::Ed25519NoteSigner(
        name_, tlog::NoteKeyType::kEd25519Cosignature,
        *Ed25519PrivateKey::FromSeed(SecretBytes(RandomBytes(32)))));
    vkey_ = signers.back()->vkey();
    witness_ = std::make_unique<tlog::Witness>(
        std::move(logs), std::move(signers), store_, std::move(now));
  }
  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] const std::string& vkey() const { return vkey_; }
  absl::StatusOr<tlog::WitnessReply> Add(
      const ledger::WitnessRequest& request) override {
    if (away) {
      return absl::UnavailableError("the witness is away");
    }
    return witness_->Add(request.body);
  }

  std::atomic<bool> away = false;

 private:
  std::string name_;
  std::string vkey_;
  FakeWitnessStore store_;
  std::unique_ptr<tlog::Witness> witness_;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_LOCAL_WITNESS_H_
