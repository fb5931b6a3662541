#include "inventory/sqlite/sqlite_vm_store.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::inventory {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::SizeIs;
using testing::StatusIs;

class SqliteVmStoreTest : public ::testing::Test {
 protected:
  static VmRecord Vm() {
    VmRecord vm;
    vm.uuid.bytes[0] = 7;
    vm.name = "web-1";
    vm.state = "running";
    return vm;
  }
  static EventRecord Event() {
    EventRecord event;
    event.uuid = Vm().uuid;
    event.name = Vm().name;
    event.kind = "defined";
    return event;
  }
  void Sql(const char* sql) const {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(file_.c_str(), &database), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(database, sql, nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(database);
    sqlite3_close(database);
  }
  // Overwrites 64 bytes in the middle of every page but the first.
  void Damage() const {
    std::fstream file(file_, std::ios::in | std::ios::out | std::ios::binary);
    const auto size = std::filesystem::file_size(file_);
    for (uint64_t page = 4096; page < size; page += 4096) {
      file.seekp(static_cast<std::streamoff>(page));
      file << std::string(64, '\xee');
    }
  }

  testing::TempDir dir_;
  std::filesystem::path file_ = dir_.path() / "vms.sqlite";
};

TEST_F(SqliteVmStoreTest, IsReadableByItsOwnerOnly) {
  ASSERT_THAT(SqliteVmStore::Open(file_), IsOk());
  struct stat status = {};
  ASSERT_EQ(stat(file_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(SqliteVmStoreTest, KeepsItsContentAcrossOpens) {
  {
    ASSERT_OK_AND_ASSIGN(const auto store, SqliteVmStore::Open(file_));
    ASSERT_THAT(store->Record(Vm(), Event()), IsOk());
  }
  ASSERT_OK_AND_ASSIGN(const auto store, SqliteVmStore::Open(file_));
  EXPECT_EQ(store->Find(Vm().uuid).value(), Vm());
  EXPECT_EQ(store->Record(Vm(), Event()).value(), 2u);
}

TEST_F(SqliteVmStoreTest, BringsAFileOfVersion1UpToDate) {
  {
    ASSERT_OK_AND_ASSIGN(const auto store, SqliteVmStore::Open(file_));
    ASSERT_THAT(store->Record(Vm(), Event()), IsOk());
  }
  Sql("DROP TABLE salt");
  Sql("PRAGMA user_version=1");
  ASSERT_OK_AND_ASSIGN(const auto store, SqliteVmStore::Open(file_));
  EXPECT_EQ(store->Find(Vm().uuid).value(), Vm());
  EXPECT_EQ(store->Salt(Vm().uuid)->size(), 32u);
}

TEST_F(SqliteVmStoreTest, RefusesAFileOfANewerVersion) {
  ASSERT_THAT(SqliteVmStore::Open(file_), IsOk());
  Sql("PRAGMA user_version=3");
  EXPECT_THAT(SqliteVmStore::Open(file_),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("vms.sqlite"),
                             HasSubstr("newer vmattest (schema 3"))));
}

TEST_F(SqliteVmStoreTest, RefusesSomebodyElsesDatabase) {
  Sql("CREATE TABLE foreign_one(x)");
  EXPECT_THAT(SqliteVmStore::Open(file_),
              StatusIs(absl::StatusCode::kDataLoss,
                       HasSubstr("not a vmattest inventory")));
}

TEST_F(SqliteVmStoreTest, RefusesAFileThatIsNoDatabase) {
  dir_.Write("vms.sqlite", std::string(8192, 'x'));
  EXPECT_THAT(SqliteVmStore::Open(file_),
              StatusIs(absl::StatusCode::kDataLoss,
                       HasSubstr("move the file away and start again")));
}

TEST_F(SqliteVmStoreTest, ReportsADamagedFileAsDataLoss) {
  {
    ASSERT_OK_AND_ASSIGN(const auto store, SqliteVmStore::Open(file_));
    for (int i = 0; i < 100; ++i) {
      ASSERT_THAT(store->Record(Vm(), Event()), IsOk());
    }
  }
  Damage();
  EXPECT_THAT(SqliteVmStore::Open(file_),
              StatusIs(absl::StatusCode::kDataLoss,
                       HasSubstr("move the file away and start again")));
}

TEST_F(SqliteVmStoreTest, NamesAFolderThatIsNotThere) {
  EXPECT_THAT(SqliteVmStore::Open(dir_.path() / "absent" / "vms.sqlite"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("absent")));
}

TEST_F(SqliteVmStoreTest, WritesVmAndEventTogetherOrNotAtAll) {
  ASSERT_OK_AND_ASSIGN(const auto store, SqliteVmStore::Open(file_));
  EventRecord orphan = Event();
  orphan.uuid.bytes[0] = 99;  // its VM is not there: the insert fails
  EXPECT_FALSE(store->Record(Vm(), orphan).ok());
  EXPECT_EQ(store->Find(Vm().uuid).value(), std::nullopt);
  EXPECT_EQ(store->LastSequence().value(), 0u);
  EXPECT_EQ(store->Record(Vm(), Event()).value(), 1u);
}

// Writes until killed; each sequence goes to `pipe` once acknowledged.
[[noreturn]] void WriteForever(const std::filesystem::path& file, int pipe,
                               const VmRecord& vm, const EventRecord& event) {
  auto store = SqliteVmStore::Open(file);
  while (store.ok()) {
    const auto sequence = (*store)->Record(vm, event);
    if (!sequence.ok() || write(pipe, &*sequence, sizeof(uint64_t)) < 0) {
      break;
    }
  }
  _exit(1);
}

TEST_F(SqliteVmStoreTest, HasEveryAcknowledgedRecordAfterKill9) {
  for (int round = 0; round < 5; ++round) {
    int pipe_ends[2];
    ASSERT_EQ(pipe(pipe_ends), 0);
    const pid_t child = fork();
    if (child == 0) {
      WriteForever(file_, pipe_ends[1], Vm(), Event());
    }
    close(pipe_ends[1]);
    uint64_t acknowledged = 0;
    for (int i = 0; i < 20 + round; ++i) {
      ASSERT_EQ(read(pipe_ends[0], &acknowledged, sizeof(acknowledged)),
                static_cast<ssize_t>(sizeof(acknowledged)));
    }
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    while (read(pipe_ends[0], &acknowledged, sizeof(acknowledged)) > 0) {
    }
    close(pipe_ends[0]);
    ASSERT_OK_AND_ASSIGN(const auto store, SqliteVmStore::Open(file_));
    ASSERT_OK_AND_ASSIGN(const uint64_t last, store->LastSequence());
    EXPECT_GE(last, acknowledged);
    EXPECT_THAT(store->Events(0, 1'000'000).value(), SizeIs(last));
  }
}

}  // namespace
}  // namespace vmattest::inventory
