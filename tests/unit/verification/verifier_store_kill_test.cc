#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/matchers.h"
#include "support/temp_dir.h"
#include "verification/sqlite/sqlite_verifier_store.h"

namespace vmattest::verification {
namespace {

using testing::IsOk;
using testing::StatusIs;
using testing::TempDir;

HostEntry Host(uint64_t number) {
  HostEntry host;
  host.host_id = std::to_string(number);
  host.state = HostEntry::State::kRevoked;
  host.revision = 1;
  host.client_identity = "spiffe://t/" + host.host_id;
  host.ak_name = ToBytes("ak" + host.host_id);
  host.ek_fingerprint = ToBytes("ek" + host.host_id);
  return host;
}

// Writes until killed; each number goes to `pipe` once all its writes were
// acknowledged.
[[noreturn]] void WriteForever(const std::filesystem::path& file, int pipe,
                               uint64_t first) {
  auto store = SqliteVerifierStore::Open(file);
  for (uint64_t number = first; store.ok(); ++number) {
    DecisionEntry event;
    event.kind = DecisionEntry::Kind::kHost;
    event.host_id = std::to_string(number);
    DecisionEntry decision;
    decision.vm_uuid = "vm";
    if (!(*store)->PutHost({.host = Host(number), .event = event}).ok() ||
        !(*store)->Append({{decision, Bytes(100, 1)}}, 3).ok() ||
        write(pipe, &number, sizeof(number)) < 0) {
      break;
    }
  }
  _exit(1);
}

TEST(VerifierStoreKill, HasEveryAcknowledgedWriteWholeAfterKill9) {
  TempDir dir;
  const auto file = dir.path() / "v";
  uint64_t acknowledged = 0;
  for (int round = 0; round < 5; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const uint64_t first = acknowledged + 2;  // one may be there unacknowledged
    const pid_t child = fork();
    if (child == 0) {
      WriteForever(file, ends[1], first);
    }
    close(ends[1]);
    for (int i = 0; i < 10 + round; ++i) {
      ASSERT_EQ(read(ends[0], &acknowledged, sizeof(acknowledged)),
                static_cast<ssize_t>(sizeof(acknowledged)));
    }
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    while (read(ends[0], &acknowledged, sizeof(acknowledged)) > 0) {
    }
    close(ends[0]);
    ASSERT_OK_AND_ASSIGN(const auto store, SqliteVerifierStore::Open(file));
    EXPECT_TRUE(store->FindHost(std::to_string(acknowledged))->has_value());
    // A host, its event and the epoch are one: each is there as often.
    ASSERT_OK_AND_ASSIGN(const auto hosts, store->ListHosts("", 1'000'000));
    size_t events = 0;
    ASSERT_OK_AND_ASSIGN(const auto entries, store->After(0, 1'000'000));
    for (const DecisionEntry& entry : entries) {
      events += entry.kind == DecisionEntry::Kind::kHost ? 1 : 0;
    }
    EXPECT_EQ(events, hosts.size());
    EXPECT_EQ(store->RevocationEpoch().value(), hosts.size());
    EXPECT_EQ(store->NewestEvidence("vm", 0, 10)->size(), 3u);
  }
}

TEST(VerifierStoreFile, OtherFilesAreRefused) {
  TempDir dir;
  const auto junk = dir.Write("junk", std::string(5000, 'x'));
  EXPECT_THAT(SqliteVerifierStore::Open(junk),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(SqliteVerifierStore::Open(dir.path() / "none" / "v"),
              StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace vmattest::verification
