#include "verifierd/ledger_keeper.h"

#include <pthread.h>

#include <utility>

#include "base/log.h"

namespace vmattest::verifierd {
namespace {

constexpr std::chrono::seconds kInterval{5};

}  // namespace

LedgerKeeper::LedgerKeeper(ledger::LedgerNode& node,
                           const document::PrivateKey* authority,
                           ledger::Retention::Options options)
    : retention_(node, authority, std::move(options)),
      thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), "ledger-keep");
}

LedgerKeeper::~LedgerKeeper() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

absl::Status LedgerKeeper::status() const {
  const MutexLock lock(mutex_);
  return status_;
}

void LedgerKeeper::Run() {
  while (true) {
    const absl::Status round = retention_.Round();
    const auto until = std::chrono::steady_clock::now() + kInterval;
    const MutexLock lock(mutex_);
    if (round != status_) {
      log::Warning("archive of the ledger", {{"status", round.ToString()}});
    }
    status_ = round;
    while (!stopping_ && changed_.WaitUntil(mutex_, until)) {
    }
    if (stopping_) {
      return;
    }
  }
}

}  // namespace vmattest::verifierd
