#ifndef VMATTEST_TESTS_CONTRACT_LEDGER_FAULT_SUITE_H_
#define VMATTEST_TESTS_CONTRACT_LEDGER_FAULT_SUITE_H_

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "contract/fault_writer.h"
#include "gmock/gmock.h"
#include "support/ledger_rig.h"
#include "support/matchers.h"

// What holds over every store of the ledger when its writer is killed, when its
// data goes back or is changed, when its disk is full, and when two want to
// write. A program instantiates it over its bodies:
//   INSTANTIATE_TEST_SUITE_P(Sqlite, LedgerFaults, Values(body),
//   LedgerFaultName);
// Not common, and in files of their own: etcd's servers that die, hang or lose
// their majority, and its client that sees them go back while it runs
// (tests/integration/etcd_faults_test.cc), since SQLite has no servers; files
// of an older version (tests/unit/ledger/sqlite_tiles_test.cc), since etcd has
// none.

namespace vmattest::testing {

// Where a log lives that faults happen to: an empty one when it is made. At
// most one store of it is open in this process, and none where it says so.
class LedgerFaultBed {
 public:
  virtual ~LedgerFaultBed() = default;
  // As a node that starts, once the lease of one that died has run out.
  virtual absl::StatusOr<std::unique_ptr<ledger::LogStore>> Open() = 0;
  // None is open: the log is what `fill`, always the same, makes of an empty
  // one; it may have been called before.
  virtual void Begin(const std::function<void()>& fill) = 0;

  // What is appended while it is killed at every `step`-th write, and how many
  // of its writes are met at least in each way to die.
  struct Kills {
    AppendWork work;
    long step = 1;
    long least = 1;
  };
  [[nodiscard]] virtual std::vector<Kills> kills() const = 0;
  struct Death {
    bool killed = false;
    int exit_code = 0;
    size_t acknowledged = 0;  // batches
  };
  // Of the process that acknowledges batches, a byte each, into the pipe whose
  // other end is `told`, which is closed.
  static Death Await(pid_t child, int told);
  // RunAppends() in another process, which dies at its `write`-th write; 0: at
  // none.
  virtual Death Append(const AppendWork& work, long write, Cut cut) = 0;

  // None is open: all the data of the store as it is now, and back.
  virtual void Save() = 0;
  virtual void RollBack() = 0;
  // None is open: what somebody with the store's disk makes of it.
  using Change = std::function<void(Bytes&)>;
  virtual void ChangeRecord(uint64_t index, const Change& change) = 0;
  virtual void ChangeTile(uint32_t level, uint64_t index,
                          const Change& change) = 0;

  // `use` gets a store of its own with room for a few megabytes, and what makes
  // more room. False: this machine allows no such thing.
  using UseLittleRoom = std::function<void(
      ledger::LogStore& store, const std::function<void()>& make_room)>;
  virtual bool WithLittleRoom(const UseLittleRoom& use) = 0;
};

struct LedgerFaultBody {
  const char* name;
  std::function<std::unique_ptr<LedgerFaultBed>()> make;
};

inline std::string LedgerFaultName(
    const ::testing::TestParamInfo<LedgerFaultBody>& info) {
  return info.param.name;
}

class LedgerFaults : public ::testing::TestWithParam<LedgerFaultBody> {
 protected:
  void SetUp() override {
    bed_ = GetParam().make();
    ASSERT_NE(bed_, nullptr);
  }
  std::unique_ptr<ledger::LogStore> Open();
  // Open(), and leads.
  std::unique_ptr<ledger::LogStore> Lead();
  void KillEverywhere(const LedgerFaultBed::Kills& kills, Cut cut);
  // Leads a log of the rig's hosts and VMs, of which h2 wrote the last record.
  ledger::LogHead Populate();
  // What opening the log says, which a node signed for as `signed_for`.
  absl::Status OpenLog(const ledger::LogHead& signed_for);
  Bytes Notice(const std::string& host) const;

  std::unique_ptr<LedgerFaultBed> bed_;
  LedgerRig rig_;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_CONTRACT_LEDGER_FAULT_SUITE_H_
