#ifndef VMATTEST_GATE_LAUNCH_SESSION_H_
#define VMATTEST_GATE_LAUNCH_SESSION_H_

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "gate/open_file.h"
#include "gate/protocol/process_facts.h"
#include "gate/recording_digester.h"
#include "reference/reference.h"
#include "vmattest/types/config_leaf.h"
#include "vmattest/types/tpm.h"

namespace vmattest::gate {

// A file whatever its name: device and inode.
using FileId = std::pair<uint64_t, uint64_t>;

// One launch, from `prepare` to `stopped`.
struct LaunchSession {
  std::string vm_name;
  std::string prepare_xml;  // tells what libvirt fills in from what was asked
  reference::GateMode mode = reference::GateMode::kEnforce;
  bool prepared = false;
  bool start_allowed = false;
  bool running = false;
  bool incoming = false;     // `migrate` was let in before
  std::string arrived_xml;   // as of that: how the VM was defined elsewhere
  bool break_glass = false;  // an order was used for this launch
  bool drifted = false;      // a difference was found, and told
  bool isolated = false;     // this daemon took its links down
  // This daemon starts it, paused; and has looked at what was started.
  bool granted = false;
  bool checked = false;
  // The TPM's clock as of `prepare`, and when that was (BootTimeMs()).
  std::optional<TpmClock> clock;
  int64_t clock_read_ms = 0;
  // `restore` was let in before: its memory, and how it was defined then.
  std::optional<OpenFileDigest> image;
  std::string image_xml;
  std::string ear;
  Bytes config_root;  // of what was measured last, in this launch alone
  // As of `start`: the leaves without content (what live XML is compared
  // with), with it, and the files.
  std::vector<ConfigLeaf> baseline;
  std::vector<ConfigLeaf> leaves;
  MeasuredFiles files;
  // As of `started`: QEMU, what it had open, and the files among them or read
  // before that nothing may write to.
  ProcessKey process;
  std::set<FileId> open_files;
  MeasuredFiles inputs;
  MonotonicTime since;

  // Another attempt at this launch, which knows nothing of the one before. An
  // order to break the glass is for one that was prepared.
  [[nodiscard]] LaunchSession Anew() const {
    LaunchSession fresh;
    fresh.vm_name = vm_name;
    fresh.mode = mode;
    fresh.break_glass = break_glass && !prepared;
    return fresh;
  }
};

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_LAUNCH_SESSION_H_
