#ifndef VMATTEST_TESTS_CONTRACT_LEDGER_CONTRACT_H_
#define VMATTEST_TESTS_CONTRACT_LEDGER_CONTRACT_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "contract/log_store_contract.h"
#include "ledger/log.h"
#include "support/ledger_rig.h"

// What Log and Sequencer do over every LogStore, and over those that many nodes
// share. Instantiated as log_store_contract.h says.

namespace vmattest::testing {

class LedgerContract : public LogStoreContract {
 protected:
  static Bytes StateOf(const ledger::Log& log) {
    return log.With([](const ledger::LogState& s) { return s.StateRoot(); });
  }
  void SetUp() override {
    LogStoreContract::SetUp();
    rig_.time_ms = SystemClock().Now().time_since_epoch().count();
  }
  std::unique_ptr<ledger::Log> OpenLog(ledger::Log::Trusted trusted = {}) {
    auto log = ledger::Log::Open(*store_, rig_.Policy(), std::move(trusted));
    EXPECT_THAT(log, IsOk());
    return log.ok() ? *std::move(log) : nullptr;
  }
  // A state-root entry, and the state that it confirms, as `change` left it;
  // then records below it go.
  void Trim(ledger::Log& log,
            const std::function<void(ledger::LogState::Item&)>& change) {
    const uint64_t size = log.head().size;
    const std::vector<ledger::LogState::Item> state =
        log.With([](const ledger::LogState& s) { return s.Items(); });
    ASSERT_EQ(rig_.Submit(log, rig_.ByAuthority([&](auto& body) {
      body.mutable_state_root()->set_size(size);
      body.mutable_state_root()->set_root(std::string(AsText(StateOf(log))));
    })),
              "");
    std::vector<ledger::StateItem> items;
    for (ledger::LogState::Item item : state) {
      change(item);
      items.push_back({.key = item.first, .value = item.second});
    }
    ASSERT_THAT(store_->PutState(0, size, items), IsOk());
    ASSERT_EQ(rig_.Submit(log, rig_.Result("h1", 1, true)), "");
    ASSERT_THAT(store_->MarkArchived("archive", log.head().size), IsOk());
    ASSERT_THAT(store_->Trim(size - 2, {"archive"}), IsOk());
  }

  LedgerRig rig_;
};

class LedgerNodesContract : public LedgerContract {};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_CONTRACT_LEDGER_CONTRACT_H_
