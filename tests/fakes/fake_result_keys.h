#ifndef VMATTEST_TESTS_FAKES_FAKE_RESULT_KEYS_H_
#define VMATTEST_TESTS_FAKES_FAKE_RESULT_KEYS_H_

#include <utility>
#include <vector>

#include "verification/result_keys.h"

namespace vmattest::testing {

// In memory, ECDSA alone. One thread rotates while none asks.
class FakeResultKeys final : public verification::ResultKeys {
 public:
  [[nodiscard]] std::shared_ptr<const token::TokenSigner> Signer()
      const override {
    return active_;
  }
  [[nodiscard]] std::vector<Key> List() const override {
    std::vector<Key> keys = {{State::kActive, active_->keys().front()}};
    if (next_ != nullptr) {
      keys.push_back({State::kNext, next_->keys().front()});
    }
    for (const token::VerificationKey& key : old_) {
      keys.push_back({State::kOld, key});
    }
    return keys;
  }
  absl::Status Rotate(Step step) override {
    if (step == Step::kPrepare) {
      if (next_ != nullptr) {
        return absl::FailedPreconditionError("there is one");
      }
      next_ = Make();
    } else if (step == Step::kActivate) {
      if (next_ == nullptr) {
        return absl::FailedPreconditionError("there is none");
      }
      old_.push_back(active_->keys().front());
      active_ = std::exchange(next_, nullptr);
    } else if (old_.empty()) {
      return absl::FailedPreconditionError("there is none");
    } else {
      old_.clear();
    }
    return absl::OkStatus();
  }

 private:
  using Signing = std::shared_ptr<const token::TokenSigner>;
  static Signing Make() {
    return std::make_shared<const token::TokenSigner>(EcPrivateKey::Generate());
  }

  Signing active_ = Make();
  Signing next_;
  std::vector<token::VerificationKey> old_;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_FAKES_FAKE_RESULT_KEYS_H_
