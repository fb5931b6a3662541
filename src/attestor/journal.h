#ifndef VMATTEST_ATTESTOR_JOURNAL_H_
#define VMATTEST_ATTESTOR_JOURNAL_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/executor.h"
#include "base/status.h"
#include "eventlog/host_event.h"
#include "inventory/vm_store.h"
#include "signing/signer.h"

namespace vmattest::attestor {

// Brings every stored event into the host event log (rule S1), in order and
// each once: the store is the outbox, and the number of the last event that
// the log has is where it goes on after a restart. Without a TPM, or with a
// full disk, events wait in the store; nothing else waits for them.
//
//   Recorder -> store -> Kick ─[work]─► signer.Append ─► log, PCR, NV index
//
// Events that wait are given to the signer together, at most kInFlight. If one
// fails, those after it may be in the log already: it is then appended late,
// with its own number, never lost.
class Journal {
 public:
  static constexpr size_t kInFlight = 256;
  struct Parts {
    signing::Signer& signer;
    inventory::VmStore& store;
    Executor& work;  // where the store is read
    const Clock& clock;
    // Told of each Note(), on the caller's thread; must not block. May be
    // empty.
    std::function<void(const std::string& kind,
                       const std::map<std::string, std::string>& facts)>
        noted = {};
  };
  // `logged`: the sequence of the last event that the log has.
  Journal(Parts parts, uint64_t logged);
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;
  // Stops handing over. What the signer still has it may finish.
  ~Journal();

  // There may be something to do: a new event, a signer that came back, or time
  // that passed after a failure. Any thread; never blocks.
  void Kick();
  // An event that is not in the store. One that cannot be appended within an
  // hour is lost, and the daemon's log says so.
  void Note(std::string kind, std::map<std::string, std::string> facts);

  // Of the last event in the log without a gap before it.
  [[nodiscard]] uint64_t logged() const;
  // Why the last attempt failed; OK if nothing is held up.
  [[nodiscard]] absl::Status problem() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// As it is logged: kind "vm-started"..., facts as docs/formats/
// host-event-log.md lists them. Pure.
eventlog::HostEvent ToHostEvent(const inventory::EventRecord& event);

// The sequence of the newest store event in a log, TLV; 0: none.
uint64_t LastJournaled(ByteView records);

}  // namespace vmattest::attestor

#endif  // VMATTEST_ATTESTOR_JOURNAL_H_
