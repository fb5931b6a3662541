// The ledger's faults over SQLite: a process that is killed at each of its
// writes of whatever file, a file that is copied back or changed, a disk that
// is full.
#include <sched.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "contract/ledger_fault_suite.h"
#include "fmt/format.h"
#include "ledger/sqlite/sqlite_log_store.h"
#include "support/temp_dir.h"

namespace vmattest::testing {
namespace {

using ledger::SqliteLogStore;
namespace fs = std::filesystem;

struct Killer {
  long countdown = 0;  // 0: never
  Cut cut = Cut::kBefore;
};
Killer killer;  // of the child alone

bool Now() { return killer.countdown > 0 && --killer.countdown == 0; }

ssize_t Pwrite(int fd, const void* data, size_t size, off_t offset) {
  const bool now = Now();
  if (now && killer.cut == Cut::kBefore) {
    raise(SIGKILL);
  }
  const ssize_t written = pwrite(
      fd, data, now && killer.cut == Cut::kHalf ? size / 2 : size, offset);
  if (now) {
    raise(SIGKILL);
  }
  return written;
}
int Ftruncate(int fd, off_t size) {
  const bool now = Now();
  if (now && killer.cut != Cut::kAfter) {
    raise(SIGKILL);
  }
  const int done = ftruncate(fd, size);
  if (now) {
    raise(SIGKILL);
  }
  return done;
}

void CountWrites(long countdown, Cut cut) {
  sqlite3_initialize();
  sqlite3_vfs* const vfs = sqlite3_vfs_find(nullptr);
  int replaced = 0;
  for (const char* name : {"pwrite64", "pwrite"}) {
    replaced += vfs->xSetSystemCall(
                    vfs, name,
                    reinterpret_cast<sqlite3_syscall_ptr>(&Pwrite)) == SQLITE_OK
                    ? 1
                    : 0;
  }
  if (replaced == 0 ||
      vfs->xSetSystemCall(vfs, "ftruncate",
                          reinterpret_cast<sqlite3_syscall_ptr>(&Ftruncate)) !=
          SQLITE_OK) {
    _exit(10);
  }
  killer = {.countdown = countdown, .cut = cut};
}

// As root, or as whom this process is in a user namespace of its own.
bool HasOwnMounts() {
  if (unshare(CLONE_NEWNS) == 0) {
    return mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
  }
  const std::string map = fmt::format("0 {} 1", getuid());
  return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
         std::ofstream("/proc/self/uid_map")
             .write(map.data(), map.size())
             .flush()
             .good();
}

class SqliteFaultBed final : public LedgerFaultBed {
 public:
  absl::StatusOr<std::unique_ptr<ledger::LogStore>> Open() override {
    ASSIGN_OR_RETURN(std::unique_ptr<SqliteLogStore> store,
                     SqliteLogStore::Open(path_));
    return store;
  }
  void Begin(const std::function<void()>& fill) override {
    if (!fs::exists(begun_)) {
      fill();
      Copy(path_, begun_);
    }
    Copy(begun_, path_);
  }
  // The second is long enough that SQLite moves its log into the file
  // meanwhile.
  [[nodiscard]] std::vector<Kills> kills() const override {
    return {{.work = {.batches = 1, .records = 8}, .step = 1, .least = 10},
            {.work = {.batches = 6, .records = 64, .record_size = 12'000},
             .step = 251,
             .least = 10}};
  }
  Death Append(const AppendWork& work, long write, Cut cut) override {
    int told[2];
    EXPECT_EQ(pipe(told), 0);
    const pid_t child = fork();
    if (child == 0) {
      CountWrites(write, cut);
      const auto store = SqliteLogStore::Open(path_);
      _exit(store.ok() ? RunAppends(**store, work, told[1]) : kNotTheWriter);
    }
    close(told[1]);
    return Await(child, told[0]);
  }
  void Save() override { Copy(path_, saved_); }
  void RollBack() override { Copy(saved_, path_); }
  void ChangeRecord(uint64_t index, const Change& change) override {
    ChangeBlob("record", "bytes", fmt::format("idx = {}", index), change);
  }
  void ChangeTile(uint32_t level, uint64_t index,
                  const Change& change) override {
    ChangeBlob("tile", "hashes",
               fmt::format("place = {}", uint64_t{level} << 56 | index),
               change);
  }
  // In a child that has a file system of 3 MiB for itself.
  bool WithLittleRoom(const UseLittleRoom& use) override {
    constexpr int kNoMounts = 77;
    fflush(nullptr);
    const pid_t child = fork();
    if (child == 0) {
      const fs::path disk = dir_.path() / "disk";
      fs::create_directory(disk);
      if (!HasOwnMounts() ||
          mount("none", disk.c_str(), "tmpfs", 0, "size=3m") != 0) {
        _exit(kNoMounts);
      }
      const auto store = SqliteLogStore::Open(disk / "ledger.db");
      if (store.ok()) {
        use(**store, [&disk] {
          EXPECT_EQ(
              mount("none", disk.c_str(), "tmpfs", MS_REMOUNT, "size=30m"), 0);
        });
      }
      fflush(nullptr);
      _exit(store.ok() && !::testing::Test::HasFailure() ? 0 : 1);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status));
    if (WEXITSTATUS(status) != kNoMounts) {
      EXPECT_EQ(WEXITSTATUS(status), 0);
    }
    return WEXITSTATUS(status) != kNoMounts;
  }

 private:
  static void Copy(const fs::path& from, const fs::path& to) {
    for (const char* suffix : {"", "-wal", "-shm"}) {
      fs::remove(to.string() + suffix);
      if (fs::exists(from.string() + suffix)) {
        fs::copy_file(from.string() + suffix, to.string() + suffix);
      }
    }
  }
  void ChangeBlob(const char* table, const char* column,
                  const std::string& where, const Change& change) {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(path_.c_str(), &database), SQLITE_OK);
    const std::string read =
        fmt::format("SELECT {} FROM {} WHERE {}", column, table, where);
    sqlite3_stmt* row = nullptr;
    ASSERT_EQ(sqlite3_prepare_v2(database, read.c_str(), -1, &row, nullptr),
              SQLITE_OK);
    ASSERT_EQ(sqlite3_step(row), SQLITE_ROW);
    const auto* const data =
        static_cast<const uint8_t*>(sqlite3_column_blob(row, 0));
    Bytes blob(data, data + sqlite3_column_bytes(row, 0));
    sqlite3_finalize(row);
    change(blob);
    const std::string write = fmt::format("UPDATE {} SET {} = x'{}' WHERE {}",
                                          table, column, ToHex(blob), where);
    EXPECT_EQ(sqlite3_exec(database, write.c_str(), nullptr, nullptr, nullptr),
              SQLITE_OK)
        << sqlite3_errmsg(database);
    sqlite3_close(database);
  }

  TempDir dir_;
  const fs::path path_ = dir_.path() / "ledger.db";
  const fs::path begun_ = dir_.path() / "begun.db";
  const fs::path saved_ = dir_.path() / "saved.db";
};

const LedgerFaultBody kSqlite = {
    "Sqlite", [] { return std::make_unique<SqliteFaultBed>(); }};

INSTANTIATE_TEST_SUITE_P(All, LedgerFaults, ::testing::Values(kSqlite),
                         LedgerFaultName);

}  // namespace
}  // namespace vmattest::testing
