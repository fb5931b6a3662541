#ifndef VMATTEST_GUESTCHANNEL_DESK_H_
#define VMATTEST_GUESTCHANNEL_DESK_H_

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/mutex.h"
#include "base/uuid.h"
#include "capture/capturer.h"
#include "guestchannel/request_parser.h"

namespace vmattest::guestchannel {

struct Guest {
  Uuid uuid;
  std::string name;
};

// What guests may ask for; the operator's word.
struct Rules {
  std::chrono::seconds min_interval{60};  // between two that are taken
  std::vector<std::string> policies;      // ids; the first is the usual one
};

// Answers what guests ask: reads it, by a parser that is not here, decides, and
// has the snapshot made. One at a time for all guests, so that they hold up no
// more than one thread of those that measure. Any thread; never blocks.
//
//   Take -> [work] parse -> admit -> capture -> done
//
// What is answered last is kept for each guest: a request that comes again,
// because its asker did not hear, is answered again and not taken again.
class Desk {
 public:
  // A frame's payload; `last`: there will be no other to this request.
  using Reply = std::function<void(Bytes payload, bool last)>;
  // Of one frame; Reply with an empty payload says nothing to the guest.
  enum class Outcome : uint8_t {
    kTaken,      // and sealed
    kFailed,     // taken, and came to nothing
    kTooSoon,    // or another guest's is under way
    kRefused,    // by the rules
    kUnreadable  // it was none
  };
  static constexpr size_t kOutcomes = 5;
  static std::string_view ToString(Outcome outcome);

  // All outlive it, and whatever it handed to `capture`.
  struct Parts {
    RequestParser& parser;
    Executor& work;  // where parsing blocks
    const Clock& clock;
    std::function<void(capture::CaptureRequest, capture::Capturer::Done)>
        capture;
    // The id of a policy, how long its snapshot may take.
    std::function<std::chrono::seconds(const std::string& policy)> limit_of;
    // Into the host event log. Must not block.
    std::function<void(std::string kind,
                       std::map<std::string, std::string> facts)>
        note;
  };
  Desk(Parts parts, Rules rules)
      : parts_(std::move(parts)), rules_(std::move(rules)) {}
  Desk(const Desk&) = delete;
  Desk& operator=(const Desk&) = delete;

  // `reply` is called from any thread, also before this returns; the last time
  // is always to come.
  void Take(const Guest& guest, Bytes payload, Reply reply)
      EXCLUDES_LOCK(mutex_);
  // What is remembered of other VMs is forgotten once it does not matter.
  void Forget() EXCLUDES_LOCK(mutex_);

  using Counters = std::map<Outcome, uint64_t>;
  [[nodiscard]] Counters counters() const EXCLUDES_LOCK(mutex_);

 private:
  struct Memory {
    MonotonicTime taken{};  // the last one that was
    Bytes id;               // of that
    Bytes answer;           // empty: it is under way
  };
  void Read(const Guest& guest, const Bytes& payload, const Reply& reply);
  void Ask(const Guest& guest, const Request& request,
           const SnapshotRequest& snapshot, const Reply& reply)
      EXCLUDES_LOCK(mutex_);
  // Why not; nothing: it is taken, and counts.
  std::optional<Refusal> Admit(const Uuid& vm, const Bytes& id)
      EXCLUDES_LOCK(mutex_);
  void Finish(const Guest& guest, const Request& request,
              const std::string& policy,
              const absl::StatusOr<capture::CapturedSnapshot>& captured,
              const Reply& reply) EXCLUDES_LOCK(mutex_);
  void Refuse(const Request& request, Refusal refusal, Outcome outcome,
              const Reply& reply) EXCLUDES_LOCK(mutex_);
  void Count(Outcome outcome) EXCLUDES_LOCK(mutex_);

  const Parts parts_;
  const Rules rules_;
  mutable Mutex mutex_;
  bool busy_ GUARDED_BY(mutex_) = false;
  std::map<Uuid, Memory> memory_ GUARDED_BY(mutex_);
  Counters counters_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::guestchannel

#endif  // VMATTEST_GUESTCHANNEL_DESK_H_
