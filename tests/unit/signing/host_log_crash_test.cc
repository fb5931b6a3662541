// What a crash leaves: at each single write of a script that boots, restarts
// and closes, the process ends, with the write not done, half done, or done and
// not answered; then it starts again, in the same boot or after a power cut.

#include <memory>
#include <set>

#include "eventlog/host_log.h"
#include "fakes/fake_host_tpm.h"
#include "fakes/forwarding_host_tpm.h"
#include "fakes/manual_clock.h"
#include "fakes/memory_log_folder.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "signing/host_log.h"
#include "support/matchers.h"

namespace vmattest::signing {
namespace {

using eventlog::HostEvent;
using testing::FakeHostTpm;
using testing::ForwardingHostTpm;
using testing::IsOk;
using testing::MemoryLogFolder;

constexpr uint8_t kPcr = 13;

enum class Crash : uint8_t { kBefore, kHalf, kAfter };

// Burns down with each write; once blown, nothing is done any more.
struct Fuse {
  int left = 0;
  Crash crash = Crash::kBefore;
  bool blown = false;

  absl::Status Through(const std::function<absl::Status()>& whole,
                       const std::function<absl::Status()>& half) {
    if (blown) {
      return absl::UnavailableError("crashed");
    }
    if (--left != 0) {
      return whole();
    }
    blown = true;
    if (crash != Crash::kBefore) {
      (void)(crash == Crash::kHalf ? half() : whole());
    }
    return absl::UnavailableError("crashed");
  }
  absl::Status Through(const std::function<absl::Status()>& whole) {
    return Through(whole, [] { return absl::OkStatus(); });
  }
};

class FusedTpm final : public ForwardingHostTpm {
 public:
  FusedTpm(tpm::HostTpm& tpm, Fuse& fuse)
      : ForwardingHostTpm(tpm), fuse_(fuse) {}
  absl::Status ExtendLog(ByteView digest) override {
    return fuse_.Through([&] { return ForwardingHostTpm::ExtendLog(digest); });
  }
  absl::Status WriteLogAnchor(uint64_t size, ByteView head) override {
    return fuse_.Through(
        [&] { return ForwardingHostTpm::WriteLogAnchor(size, head); });
  }
  absl::StatusOr<uint64_t> CountBoot() override {
    uint64_t value = 0;
    RETURN_IF_ERROR(fuse_.Through([&]() -> absl::Status {
      ASSIGN_OR_RETURN(value, ForwardingHostTpm::CountBoot());
      return absl::OkStatus();
    }));
    return value;
  }

 private:
  Fuse& fuse_;
};

class FusedFolder final : public LogFolder {
 public:
  FusedFolder(MemoryLogFolder& disk, Fuse& fuse) : disk_(disk), fuse_(fuse) {}
  absl::StatusOr<std::vector<std::string>> List() override {
    return disk_.List();
  }
  absl::StatusOr<Bytes> Read(const std::string& name) override {
    return disk_.Read(name);
  }
  absl::Status Write(const std::string& name, uint64_t offset,
                     ByteView bytes) override {
    return fuse_.Through([&] { return disk_.Write(name, offset, bytes); },
                         [&] {
                           return disk_.Write(
                               name, offset, bytes.first(bytes.size() * 2 / 3));
                         });
  }
  absl::Status Truncate(const std::string& name, uint64_t size) override {
    return fuse_.Through([&] { return disk_.Truncate(name, size); });
  }
  absl::Status KeepAside(const std::string& name, ByteView bytes) override {
    return fuse_.Through([&] { return disk_.KeepAside(name, bytes); });
  }
  absl::Status Remove(const std::string& name) override {
    return fuse_.Through([&] { return disk_.Remove(name); });
  }

 private:
  MemoryLogFolder& disk_;
  Fuse& fuse_;
};

// A host: what survives a crash, and what was promised before it.
class Host {
 public:
  Host() { Provision(); }

  void Provision() {
    while (!tpm_.Provision().ok()) {
    }
  }
  void PowerCycle() {
    tpm_.Reset();
    Provision();
  }

  // False once the fuse is blown.
  bool Script(Fuse& fuse) {
    return Session(fuse, {2, 1}, true) && (PowerCycle(), true) &&
           Session(fuse, {3}, false) && Session(fuse, {1}, true) &&
           Session(fuse, {1}, false) && (PowerCycle(), true) &&
           Session(fuse, {1, 1}, true);
  }

  bool Session(Fuse& fuse, const std::vector<int>& batches, bool close) {
    FusedTpm tpm(tpm_, fuse);
    FusedFolder folder(disk_, fuse);
    HostLog log(tpm, folder, clock_, kPcr);
    if (!log.Open().ok() || !log.status().ok()) {
      return false;
    }
    EXPECT_EQ(log.problem(), "");
    for (const int count : batches) {
      std::vector<HostEvent> events;
      for (int i = 0; i < count; ++i) {
        events.push_back({.kind = "vm-started",
                          .facts = {{"id", std::to_string(next_id_++)}},
                          .time_unix_ms = 1});
      }
      const HostLog::Appended appended = log.Append(events);
      if (!appended.status.ok()) {
        return false;
      }
      for (size_t i = 0; i < events.size(); ++i) {
        acknowledged_[appended.first + i] = events[i];
      }
    }
    const std::vector<HostEvent> stopped = {
        {.kind = "daemon-stopped", .facts = {}, .time_unix_ms = 1}};
    return !close || log.Append(stopped).status.ok();
  }

  // File, PCR and anchor agree, nothing that was promised is missing, and
  // nobody says that something is.
  void Check() {
    ASSERT_OK_AND_ASSIGN(const auto records, eventlog::ParseCel(disk_.All()));
    const eventlog::HostLogReplay replay =
        eventlog::ReplayHostLog(records, kPcr, HashAlgorithm::kSha256);
    ASSERT_EQ(replay.problem.kind, eventlog::HostLogProblem::Kind::kNone)
        << replay.problem.record << ": " << replay.problem.found << ", not "
        << replay.problem.expected;
    for (const eventlog::HostLogFact& fact : replay.facts) {
      EXPECT_EQ(fact.kind, eventlog::HostLogFact::Kind::kUncleanBoot);
    }
    ASSERT_OK_AND_ASSIGN(const tpm::LogRegisters registers,
                         tpm_.ReadLogRegisters());
    EXPECT_EQ(replay.pcrs.back(), registers.pcr);
    EXPECT_EQ(replay.heads.back(), registers.head);
    EXPECT_EQ(records.back().number, registers.size);
    EXPECT_EQ(replay.boot.boot_count, registers.boot_count);
    std::map<uint64_t, HostEvent> found;
    std::set<std::string> ids;
    for (const eventlog::CelRecord& record : records) {
      ASSERT_OK_AND_ASSIGN(const HostEvent event,
                           eventlog::ParseHostEvent(AsText(record.content)));
      EXPECT_NE(event.kind, "log-loss");
      if (event.kind == "vm-started") {
        EXPECT_TRUE(ids.insert(event.facts.at("id")).second) << "twice";
      }
      found[record.number] = event;
    }
    for (const auto& [number, event] : acknowledged_) {
      EXPECT_EQ(found[number], event) << "record " << number;
    }
  }

 private:
  FakeHostTpm tpm_;
  MemoryLogFolder disk_;
  testing::ManualClock clock_;
  int next_id_ = 0;
  std::map<uint64_t, HostEvent> acknowledged_;
};

class HostLogCrash : public ::testing::TestWithParam<std::tuple<Crash, bool>> {
};

TEST_P(HostLogCrash, AtAnyWriteLeavesAllThatWasPromised) {
  const auto [crash, power_cut] = GetParam();
  int writes = 0;
  for (bool crashed = true; crashed; ++writes) {
    SCOPED_TRACE(fmt::format("crash at write {}", writes + 1));
    Host host;
    Fuse fuse{.left = writes + 1, .crash = crash};
    crashed = !host.Script(fuse);
    EXPECT_EQ(crashed, fuse.blown);
    if (power_cut) {
      host.PowerCycle();
    }
    Fuse none;
    EXPECT_TRUE(host.Session(none, {2}, true));
    host.Check();
    if (HasFailure()) {
      return;
    }
  }
  EXPECT_GT(writes, 40);
}

// The mending itself is crashed into, too.
TEST_P(HostLogCrash, AtAnyTwoWritesLeavesAllThatWasPromised) {
  const auto [crash, power_cut] = GetParam();
  bool any_crashed = true;
  for (int first = 1; any_crashed; first += 3) {
    any_crashed = false;
    bool second_crashed = true;
    for (int second = 1; second_crashed; ++second) {
      SCOPED_TRACE(fmt::format("crash at write {}, then {}", first, second));
      Host host;
      Fuse fuse{.left = first, .crash = crash};
      any_crashed = !host.Script(fuse) || any_crashed;
      if (power_cut) {
        host.PowerCycle();
      }
      Fuse again{.left = second, .crash = crash};
      second_crashed = !host.Session(again, {1}, false);
      Fuse none;
      EXPECT_TRUE(host.Session(none, {2}, true));
      host.Check();
      if (HasFailure()) {
        return;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Everywhere, HostLogCrash,
                         ::testing::Combine(::testing::Values(Crash::kBefore,
                                                              Crash::kHalf,
                                                              Crash::kAfter),
                                            ::testing::Bool()));

}  // namespace
}  // namespace vmattest::signing
