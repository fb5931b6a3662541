#ifndef VMATTEST_LEDGER_TPM_CLOCK_WATCH_H_
#define VMATTEST_LEDGER_TPM_CLOCK_WATCH_H_

#include <map>
#include <optional>
#include <string>

#include "ledger/entry.h"
#include "vmattest/types/tpm.h"

namespace vmattest::ledger {

// TPM clocks that a host's entries name, in the order of its sequence: resets,
// restarts and time only grow (rule S6), however the host's own clock is set.
// One that is behind an entry before it comes from another TPM, or from a copy
// of the host that was set back. One thread.
class TpmClockWatch {
 public:
  // `generation`: of the host's ledger key; with another one the host may have
  // another TPM. Entries without a clock say nothing.
  std::optional<Reason> Take(const Entry& entry, uint64_t generation);

 private:
  struct Newest {
    uint64_t generation = 0;
    TpmClock clock;
  };
  std::map<std::string, Newest> hosts_;
};

}  // namespace vmattest::ledger

#endif  // VMATTEST_LEDGER_TPM_CLOCK_WATCH_H_
