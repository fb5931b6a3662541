#include "gate/session_store.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "fakes/manual_clock.h"
#include "gate/launch_sessions.h"
#include "gmock/gmock.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::gate {
namespace {

using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::SizeIs;
using testing::StatusIs;

constexpr char kUuid[] = "00112233-4455-6677-8899-aabbccddeeff";
constexpr char kBoot[] = "5c1a";

class SessionStoreTest : public ::testing::Test {
 protected:
  // Of a VM whose QEMU is this very process.
  static LaunchSession Running() {
    LaunchSession session;
    session.vm_name = "web";
    session.prepare_xml = "<domain/>";
    session.mode = reference::GateMode::kWarn;
    session.running = true;
    session.break_glass = true;
    session.baseline = {{"name", LeafType::kText, "web"}};
    session.process = {getpid(), *StartTicks("/proc/self")};
    session.open_files = {{1, 2}, {3, 4}};
    session.inputs = {
        {"/k", {{1, 2, -3, 4, 5}, HashAlgorithm::kSha384, Bytes(48, 1)}}};
    return session;
  }
  SessionStore Store(const std::string& boot = kBoot) {
    return {dir_.path() / "running", boot};
  }
  std::filesystem::path File() { return dir_.path() / "running" / kUuid; }
  testing::TempDir dir_;
};

TEST_F(SessionStoreTest, WhatRunsIsKnownToTheNextDaemon) {
  EXPECT_THAT(Store().Save(kUuid, Running()), IsOk());
  const auto sessions = Store().Load();
  ASSERT_THAT(sessions, SizeIs(1));
  const LaunchSession& session = sessions.at(kUuid);
  const LaunchSession saved = Running();
  EXPECT_EQ(session.vm_name, saved.vm_name);
  EXPECT_EQ(session.prepare_xml, saved.prepare_xml);
  EXPECT_EQ(session.mode, saved.mode);
  EXPECT_EQ(session.baseline, saved.baseline);
  EXPECT_EQ(session.process, saved.process);
  EXPECT_EQ(session.open_files, saved.open_files);
  ASSERT_TRUE(session.inputs.contains("/k"));
  EXPECT_EQ(session.inputs.at("/k").identity, saved.inputs.at("/k").identity);
  EXPECT_EQ(session.inputs.at("/k").digest, Bytes(48, 1));
  EXPECT_TRUE(session.running);
  EXPECT_TRUE(session.break_glass);
  EXPECT_FALSE(session.drifted);
  // It is no launch that `start` or `started` may go on with.
  EXPECT_FALSE(session.prepared);
  EXPECT_FALSE(session.start_allowed);
}

TEST_F(SessionStoreTest, WhetherItsLinksWereTakenDownIsKnownToo) {
  testing::ManualClock clock;
  SessionStore store = Store();
  LaunchSessions sessions(clock, &store);
  ASSERT_TRUE(sessions.Put(kUuid, Running()));
  EXPECT_FALSE(Store().Load().at(kUuid).isolated);
  sessions.MarkIsolated(kUuid);
  EXPECT_TRUE(Store().Load().at(kUuid).isolated);
  EXPECT_FALSE(Store().Load().at(kUuid).drifted);
}

TEST_F(SessionStoreTest, WhetherAStrictStartWasLookedAtIsKnownToo) {
  LaunchSession session = Running();
  session.granted = true;
  EXPECT_THAT(Store().Save(kUuid, session), IsOk());
  EXPECT_TRUE(Store().Load().at(kUuid).granted);
  session.checked = true;
  EXPECT_THAT(Store().Save(kUuid, session), IsOk());
  EXPECT_FALSE(Store().Load().at(kUuid).granted);
}

TEST_F(SessionStoreTest, NobodyElseCanReadIt) {
  EXPECT_THAT(Store().Save(kUuid, Running()), IsOk());
  struct stat status {};
  ASSERT_EQ(stat(File().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

TEST_F(SessionStoreTest, AnotherBootKnowsNothing) {
  EXPECT_THAT(Store().Save(kUuid, Running()), IsOk());
  EXPECT_THAT(Store("other").Load(), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(File()));
}

TEST_F(SessionStoreTest, AProcessThatEndedIsForgottenAlsoIfItsPidLivesOn) {
  LaunchSession session = Running();
  session.process.start_ticks += 1;
  EXPECT_THAT(Store().Save(kUuid, session), IsOk());
  EXPECT_THAT(Store().Load(), IsEmpty());
}

TEST_F(SessionStoreTest, WhatCannotBeTiedToAProcessIsNotKept) {
  LaunchSession session = Running();
  session.process = {};
  EXPECT_THAT(Store().Save(kUuid, session),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(Store("").Save(kUuid, Running()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(SessionStoreTest, DamagedAndForgedFilesAreThrownAway) {
  const Bytes sound = EncodeSession(Running(), kBoot);
  EXPECT_THAT(ParseSession(sound, kBoot), IsOk());
  for (size_t size = 0; size < sound.size(); ++size) {
    EXPECT_FALSE(ParseSession(ByteView(sound).first(size), kBoot).ok());
  }
  for (size_t at = 0; at < sound.size(); ++at) {
    Bytes damaged = sound;
    damaged[at] ^= 0x40;
    EXPECT_FALSE(ParseSession(damaged, kBoot).ok()) << at;
  }
  std::filesystem::create_directories(File().parent_path());
  EXPECT_THAT(WriteFileAtomic(File(), AsBytes("nonsense"), 0600), IsOk());
  EXPECT_THAT(WriteFileAtomic(File().parent_path() / "no-uuid", sound, 0600),
              IsOk());
  EXPECT_THAT(Store().Load(), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(File()));
}

TEST_F(SessionStoreTest, SessionsKeepItInStepWithWhatRuns) {
  SystemClock clock;
  SessionStore store = Store();
  {
    LaunchSessions sessions(clock, &store);
    LaunchSession starting = Running();
    starting.running = false;
    starting.start_allowed = true;
    sessions.Put(kUuid, starting);
    EXPECT_FALSE(std::filesystem::exists(File()));
    sessions.Put(kUuid, Running());
    EXPECT_TRUE(std::filesystem::exists(File()));
  }
  {
    LaunchSessions sessions(clock, &store);
    EXPECT_THAT(sessions.Running(), SizeIs(1));
    sessions.MarkDrifted(kUuid);
  }
  LaunchSessions sessions(clock, &store);
  ASSERT_TRUE(sessions.Find(kUuid).has_value());
  EXPECT_THAT(sessions.Running(), IsEmpty());
  sessions.Erase(kUuid);
  EXPECT_FALSE(std::filesystem::exists(File()));
}

}  // namespace
}  // namespace vmattest::gate
