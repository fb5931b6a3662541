#ifndef VMATTEST_VERIFIERD_LEDGER_KEEPER_H_
#define VMATTEST_VERIFIERD_LEDGER_KEEPER_H_

#include <chrono>
#include <thread>

#include "base/mutex.h"
#include "ledger/retention.h"

namespace vmattest::verifierd {

// Runs a Retention on a thread of its own, "ledger-keep". Callable from any
// thread.
class LedgerKeeper {
 public:
  LedgerKeeper(ledger::LedgerNode& node, const document::PrivateKey* authority,
               ledger::Retention::Options options);
  LedgerKeeper(const LedgerKeeper&) = delete;
  LedgerKeeper& operator=(const LedgerKeeper&) = delete;
  ~LedgerKeeper();

  // Of the last round.
  [[nodiscard]] absl::Status status() const;

 private:
  void Run();

  ledger::Retention retention_;
  mutable Mutex mutex_;
  CondVar changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  absl::Status status_ GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace vmattest::verifierd

#endif  // VMATTEST_VERIFIERD_LEDGER_KEEPER_H_
