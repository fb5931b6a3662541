#ifndef VMATTEST_OUTBOX_VM_MIRROR_H_
#define VMATTEST_OUTBOX_VM_MIRROR_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "outbox/ledger_port.h"
#include "vmattest/v1/ledger_entry.pb.h"

namespace vmattest::outbox {

// How VMs stand on the ledger, as far as this host has to know it to sign the
// next entry: asked for once, and kept by what is committed after that. One
// thread.
class VmMirror {
 public:
  explicit VmMirror(LedgerPort& ledger) : ledger_(ledger) {}

  struct Vm {
    Bytes newest;
    std::string home;
    bool running = false;
    // A batch that does not name it passes it. False where that is not known:
    // then it is named, which is right either way.
    bool passing = false;
  };
  // Null: nobody registered it. Errors as LedgerPort::GetVm.
  absl::StatusOr<Vm*> Find(const Uuid& vm, MonotonicTime deadline);
  // Is asked for again.
  void Forget(const Uuid& vm) { vms_.erase(vm); }
  void ForgetAll() { vms_.clear(); }
  // The next batch names every VM.
  void NameAll();

  // What the ledger says runs here.
  absl::Status TakeRunning(const std::set<Uuid>& running,
                           MonotonicTime deadline);
  [[nodiscard]] std::map<Uuid, Vm>& vms() { return vms_; }

  // `body` is on the ledger as the entry of that hash. `late`: its passes count
  // for nothing.
  void Committed(const v1::LedgerEntryBody& body, const Bytes& hash,
                 const std::string& host, bool late);

 private:
  LedgerPort& ledger_;
  std::map<Uuid, Vm> vms_;
};

}  // namespace vmattest::outbox

#endif  // VMATTEST_OUTBOX_VM_MIRROR_H_
