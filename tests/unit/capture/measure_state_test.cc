#include "capture/measure_state.h"

#include <deque>

#include "capture/boot_count.h"
#include "crypto/digest.h"
#include "fakes/fake_hypervisor.h"
#include "gmock/gmock.h"
#include "snapshot/page_tree.h"
#include "support/matchers.h"

namespace vmattest::capture {
namespace {

using memory::AddressRange;
using ::testing::Contains;
using ::testing::ElementsAre;
using testing::FakeHypervisor;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::StatusIs;

// Everything that is done to a guest, in order.
using Story = std::vector<std::string>;

class Control final : public hypervisor::GuestControl {
 public:
  explicit Control(Story& story) : story_(story) {}
  absl::StatusOr<bool> BeginPause(const Uuid& /*uuid*/) override {
    story_.emplace_back("pause");
    return begin;
  }
  absl::Status EndPause(const Uuid& /*uuid*/) override {
    story_.emplace_back("resume");
    return end;
  }
  absl::Status PeekMemory(const Uuid& /*uuid*/, uint64_t /*address*/,
                          std::span<uint8_t> /*buffer*/) override {
    return absl::UnimplementedError("");
  }
  absl::Status CheckMemoryIsHere(const Uuid& /*uuid*/) override {
    if (here.empty()) {
      return absl::OkStatus();
    }
    const absl::Status answer = here.front();
    here.pop_front();
    return answer;
  }
  absl::StatusOr<std::chrono::microseconds> SaveState(
      const Uuid& /*uuid*/, const std::string& /*pipe*/) override {
    return absl::UnimplementedError("");
  }
  absl::Status AbortSave(const Uuid& /*uuid*/) override {
    return absl::UnimplementedError("");
  }
  absl::StatusOr<bool> begin = true;
  absl::Status end;
  std::deque<absl::Status> here;  // then it is

 private:
  Story& story_;
};

class Guard final : public PauseGuard {
 public:
  explicit Guard(Story& story) : story_(story) {}
  ~Guard() override {
    story_.emplace_back(armed_ ? "guard-fires" : "guard-off");
  }
  void Disarm() override { armed_ = false; }

 private:
  Story& story_;
  bool armed_ = true;
};

// A guest of 1 MiB whose page digests are its page numbers.
class Guest final : public memory::MeasuredGuest {
 public:
  struct Script {
    absl::StatusOr<bool> copied = true;
    absl::Status measured;
    absl::StatusOr<memory::SavedMoment> saved =
        memory::SavedMoment{.stream_bytes = 9000,
                            .kept_bytes = 4096,
                            .took = std::chrono::milliseconds(20),
                            .stood = std::chrono::microseconds(700),
                            .vcpus = 1,
                            .vcpu_problem = {}};
    std::vector<std::string> notes;
    memory::GuestMeaning meaning;
    std::vector<uint64_t> moved = {0};
  };
  Guest(Story& story, const Script& script) : story_(story), script_(script) {}
  std::vector<AddressRange> ram(bool rom_shadow) const override {
    return {{0, 0xA0000}, {rom_shadow ? 0xC0000U : 0x100000U, 0x200000}};
  }
  std::string reader() const override { return "shared-memory"; }
  std::string run() const override { return "boot.1.2"; }
  std::string map_proof() const override { return "proven"; }
  std::vector<std::string> notes() const override { return script_.notes; }
  absl::StatusOr<memory::GuestMeaning> Understand(
      const memory::MeaningRequest& request,
      const memory::MeasureCall& /*call*/) override {
    story_.emplace_back("understand " + request.kernel_file);
    return script_.meaning;
  }
  absl::StatusOr<std::vector<uint64_t>> CountMoved(
      const memory::MeasureCall& /*call*/) override {
    story_.emplace_back("look-again");
    return script_.moved;
  }
  absl::Status PrepareCopy(const memory::MeasurePlan& /*plan*/,
                           const memory::MeasureCall& /*call*/) override {
    story_.emplace_back("prepare");
    return absl::OkStatus();
  }
  absl::StatusOr<bool> Copy(const memory::MeasurePlan& /*plan*/,
                            std::chrono::microseconds /*budget*/,
                            const memory::MeasureCall& /*call*/) override {
    story_.emplace_back("copy");
    return script_.copied;
  }
  absl::StatusOr<memory::SavedMoment> SaveMoment(
      const memory::MeasureCall& /*call*/) override {
    story_.emplace_back("save");
    return script_.saved;
  }
  absl::StatusOr<std::vector<memory::MeasuredRegion>> Measure(
      const memory::MeasurePlan& plan,
      const memory::MeasureCall& /*call*/) override {
    story_.emplace_back("measure");
    RETURN_IF_ERROR(script_.measured);
    std::vector<memory::MeasuredRegion> regions;
    for (const auto& ranges : plan.regions) {
      memory::MeasuredRegion region;
      for (const AddressRange& range : ranges) {
        region.pages += (range.end + 4095) / 4096 - range.begin / 4096;
      }
      region.digests.assign(region.pages * 32, 3);
      regions.push_back(std::move(region));
    }
    return regions;
  }

 private:
  Story& story_;
  const Script& script_;
};

class Measurer final : public memory::GuestMeasurer {
 public:
  Measurer(Story& story, const Guest::Script& script)
      : story_(story), script_(script) {}
  absl::StatusOr<std::unique_ptr<memory::MeasuredGuest>> Open(
      const memory::Guest& guest,
      const memory::MeasureCall& /*call*/) override {
    seen = guest;
    return std::unique_ptr<memory::MeasuredGuest>(
        std::make_unique<Guest>(story_, script_));
  }
  memory::Guest seen;

 private:
  Story& story_;
  const Guest::Script& script_;
};

class MeasureStateTest : public ::testing::Test {
 protected:
  MeasureStateTest() {
    hypervisor_.Start(nullptr);
    uuid_ = hypervisor_.Define(
        "web", FakeHypervisor::Xml("web", FakeHypervisor::UuidOf("web")));
    hypervisor_.Start(uuid_);
    policy_.id = "p";
    policy_.version = 1;
    policy_.digest = DigestBytes(32, 9);
    policy_.regions = {
        {"low",
         snapshot::Severity::kHigh,
         snapshot::PhysicalRanges{{{0x100000, 0x104000}}},
         {}},
        {"text",
         snapshot::Severity::kCritical,
         snapshot::GuestSelector{
             snapshot::GuestSelector::Kind::kKernel, {}, {"text"}},
         {}}};
    Linux();
  }
  void Linux() {
    script_.meaning.semantics = "linux";
    script_.meaning.kernel_release = "6.1.0";
    script_.meaning.regions = {
        {{{"kernel/text",
           "text",
           0xffffffff81000000,
           0x3800,
           0x1000,
           {{0x180000, 0x182000}, {0x110000, 0x110800}}}},
         ""}};
    script_.meaning.findings = {
        {"syscall-hooked", "critical", "sys_call_table[62]", "", "evil"}};
    script_.meaning.records = {{"process/1", "pid=1"}, {"syscall/62", "evil"}};
    script_.meaning.code_hash = Bytes(32, 8);
    script_.meaning.code_hash_state = "measured";
  }
  absl::StatusOr<MeasuredState> Measure() {
    const StateParts parts{
        .hypervisor = hypervisor_,
        .control = control_,
        .measurer = measurer_,
        .make_guard =
            [this](const Uuid&) -> absl::StatusOr<std::unique_ptr<PauseGuard>> {
          story_.emplace_back("guard");
          return std::unique_ptr<PauseGuard>(std::make_unique<Guard>(story_));
        },
        .boot_of = boot_of_};
    ASSIGN_OR_RETURN(const hypervisor::Domain domain,
                     hypervisor_.FindDomain(uuid_));
    return MeasureState(parts, policy_,
                        {.domain = domain,
                         .nonce = Bytes(16, 1),
                         .cause = "request",
                         .call = {MonotonicTime::max(), {}, {}},
                         .progress = {}});
  }
  void Paused() {
    policy_.consistency = snapshot::Consistency::kPaused;
    policy_.pause_budget_ms = 10;
  }

  Story story_;
  Guest::Script script_;
  FakeHypervisor hypervisor_;
  Control control_{story_};
  Measurer measurer_{story_, script_};
  snapshot::Policy policy_;
  Uuid uuid_;
  std::function<evidence::Boot(const Uuid&)> boot_of_;
};

TEST_F(MeasureStateTest, SaysWhatWasMeasuredAndWhatWasNot) {
  script_.meaning = {};
  script_.meaning.semantics = "no-linux: firmware";
  script_.meaning.regions = {{{}, "no-linux: firmware"}};
  ASSERT_OK_AND_ASSIGN(const MeasuredState state, Measure());
  EXPECT_THAT(story_, ElementsAre("understand ", "measure"));
  EXPECT_EQ(measurer_.seen.memory.boot_bytes, uint64_t{256} << 20);
  const evidence::StateStatement& statement = state.statement;
  EXPECT_EQ(statement.consistency, "live");
  EXPECT_EQ(statement.header.vm_name, "web");
  ASSERT_EQ(statement.regions.size(), 2U);
  EXPECT_EQ(statement.regions[0].pages, 4U);
  EXPECT_EQ(statement.regions[0].root,
            snapshot::PageTreeRoot(HashAlgorithm::kSha256, Bytes(4 * 32, 3)));
  EXPECT_EQ(statement.regions[1].unavailable, "no-linux: firmware");
  EXPECT_EQ(statement.semantics, "no-linux: firmware");
  EXPECT_EQ(statement.root,
            evidence::StateRoot(HashAlgorithm::kSha256, statement.regions));
  ASSERT_EQ(state.pages.regions.size(), 1U);
  EXPECT_EQ(state.pages.regions[0].digests.size(), 4U * 32);
}

TEST_F(MeasureStateTest, SaysWhichBootItWasIfItWasOne) {
  ASSERT_OK_AND_ASSIGN(const MeasuredState unknown, Measure());
  EXPECT_EQ(unknown.statement.boot, std::nullopt) << "nobody counts";
  BootCount boots;
  boot_of_ = [&](const Uuid& vm) { return boots.Of(vm); };
  const evidence::Boot first = boots.Of(uuid_);
  ASSERT_OK_AND_ASSIGN(const MeasuredState before, Measure());
  EXPECT_EQ(before.statement.boot, first);
  boots.Reset(uuid_);
  ASSERT_OK_AND_ASSIGN(const MeasuredState after, Measure());
  EXPECT_EQ(after.statement.boot, (evidence::Boot{first.listener, 1}));
  // Reset while it was measured, after its first bytes.
  boot_of_ = [&](const Uuid& vm) {
    const evidence::Boot boot = boots.Of(vm);
    boots.Reset(vm);
    return boot;
  };
  ASSERT_OK_AND_ASSIGN(const MeasuredState mixed, Measure());
  EXPECT_EQ(mixed.statement.boot, std::nullopt);
}

TEST_F(MeasureStateTest, HasNoRegionOfAllRamIfSomeIsReadByNobody) {
  policy_.regions[1] = {
      "all", snapshot::Severity::kHigh, snapshot::AllRam{}, {}};
  script_.notes = {"left-out: virtio-mem m0: its address is not told",
                   "also-mapped: process 1",
                   "left-out: sgx-epc e0: it is not read"};
  ASSERT_OK_AND_ASSIGN(const MeasuredState state, Measure());
  const evidence::StateStatement& statement = state.statement;
  ASSERT_EQ(statement.regions.size(), 2U);
  EXPECT_EQ(statement.regions[0].pages, 4U);
  EXPECT_EQ(statement.regions[1].pages, 0U);
  EXPECT_TRUE(statement.regions[1].root.empty());
  EXPECT_EQ(statement.regions[1].unavailable,
            "ram-left-out: virtio-mem m0: its address is not told; "
            "sgx-epc e0: it is not read");
  // Where all is read, the same policy has it.
  script_.notes.clear();
  ASSERT_OK_AND_ASSIGN(const MeasuredState whole, Measure());
  EXPECT_EQ(whole.statement.regions[1].unavailable, "");
  EXPECT_GT(whole.statement.regions[1].pages, 0U);
}

TEST_F(MeasureStateTest, JoinsWhatTheKernelSaysWithItsBytes) {
  ASSERT_OK_AND_ASSIGN(const MeasuredState state, Measure());
  EXPECT_THAT(story_, ElementsAre("understand ", "measure", "look-again"));
  const evidence::StateStatement& statement = state.statement;
  EXPECT_EQ(statement.regions[1].bytes, 0x2800U);
  EXPECT_EQ(statement.regions[1].pages, 3U);
  EXPECT_EQ(statement.regions[1].root,
            snapshot::PageTreeRoot(HashAlgorithm::kSha256, Bytes(3 * 32, 3)));
  ASSERT_EQ(state.pages.regions.size(), 2U);
  EXPECT_THAT(
      state.pages.regions[1].parts,
      ElementsAre(evidence::SnapshotPages::Part{
          "kernel/text", "text", 0xffffffff81000000, 0x3800, 0x1000, 0, 3}));
  ASSERT_EQ(statement.findings.size(), 1U);
  EXPECT_EQ(statement.findings[0].code, "syscall-hooked");
  EXPECT_EQ(statement.record_count, 2U);
  EXPECT_EQ(statement.records_root,
            evidence::RecordsRoot(HashAlgorithm::kSha256, state.pages.records));
  EXPECT_EQ(statement.code_hash, Bytes(32, 8));
  EXPECT_THAT(statement.notes, IsEmpty());
}

TEST_F(MeasureStateTest, SaysWhichPartsMovedMeanwhile) {
  script_.moved = {1};
  ASSERT_OK_AND_ASSIGN(const MeasuredState state, Measure());
  EXPECT_THAT(state.statement.notes,
              ElementsAre(HasSubstr("moved: text (1 of 1")));
}

TEST_F(MeasureStateTest, MakesTasksARegionOfTheirRecords) {
  policy_.regions[1].selector = snapshot::GuestSelector{
      snapshot::GuestSelector::Kind::kTasks, {}, {"pid"}};
  script_.meaning.regions = {{}};
  ASSERT_OK_AND_ASSIGN(const MeasuredState state, Measure());
  EXPECT_EQ(state.statement.regions[1].pages, 0U);
  EXPECT_EQ(
      state.statement.regions[1].root,
      evidence::RecordsRoot(HashAlgorithm::kSha256, {{"process/1", "pid=1"}}));
  EXPECT_EQ(state.pages.regions.size(), 1U);
}

TEST_F(MeasureStateTest, LooksForNoKernelWhereNothingHasAMeaning) {
  policy_.regions.pop_back();
  ASSERT_OK_AND_ASSIGN(const MeasuredState state, Measure());
  EXPECT_THAT(story_, ElementsAre("measure"));
  EXPECT_THAT(state.statement.semantics, HasSubstr("not-asked"));
}

TEST_F(MeasureStateTest, PausesForTheCopyAlone) {
  Paused();
  ASSERT_OK_AND_ASSIGN(const MeasuredState state, Measure());
  EXPECT_THAT(story_,
              ElementsAre("understand ", "prepare", "guard", "pause", "copy",
                          "resume", "guard-off", "look-again", "measure"));
  EXPECT_EQ(state.statement.consistency, "paused");
}

TEST_F(MeasureStateTest, ResumesAndSaysSoWhenOverBudget) {
  Paused();
  script_.copied = false;
  ASSERT_OK_AND_ASSIGN(const MeasuredState state, Measure());
  EXPECT_THAT(story_, Contains("resume"));
  EXPECT_EQ(state.statement.consistency, "live");
  EXPECT_THAT(state.statement.notes, Contains(HasSubstr("over-budget")));
}

TEST_F(MeasureStateTest, ResumesWhenTheCopyFails) {
  Paused();
  script_.copied = absl::UnavailableError("the worker died");
  EXPECT_THAT(Measure(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(story_, ElementsAre("understand ", "prepare", "guard", "pause",
                                  "copy", "resume", "guard-off"));
}

TEST_F(MeasureStateTest, LeavesResumingToTheGuardWhenItCannot) {
  Paused();
  control_.end = absl::UnavailableError("no libvirt");
  ASSERT_THAT(Measure().status(), IsOk());
  EXPECT_THAT(story_, Contains("guard-fires"));
  story_.clear();
  control_.begin = absl::UnavailableError("it may have been paused");
  EXPECT_FALSE(Measure().ok());
  EXPECT_THAT(story_, ElementsAre("understand ", "prepare", "guard", "pause",
                                  "guard-fires"));
}

TEST_F(MeasureStateTest, S23_IsNoPauseWhereDevicesGoOnWriting) {
  Paused();
  script_.notes = {"device-access: /dev/vfio/7"};
  ASSERT_OK_AND_ASSIGN(const MeasuredState state, Measure());
  EXPECT_EQ(state.statement.consistency, "live");
  EXPECT_THAT(state.statement.notes, Contains(HasSubstr("downgraded")));
}

TEST_F(MeasureStateTest, S23_IsNoMomentWhereDevicesGoOnWriting) {
  policy_.consistency = snapshot::Consistency::kPointInTime;
  script_.notes = {"also-mapped: virtiofsd"};
  ASSERT_OK_AND_ASSIGN(const MeasuredState state, Measure());
  EXPECT_EQ(state.statement.consistency, "live");
  EXPECT_THAT(state.statement.notes, Contains(HasSubstr("downgraded")));
}

TEST_F(MeasureStateTest, MeasuresAMomentAndSaysWhatItCost) {
  policy_.consistency = snapshot::Consistency::kPointInTime;
  ASSERT_OK_AND_ASSIGN(const MeasuredState state, Measure());
  EXPECT_THAT(story_, ElementsAre("guard", "save", "guard-off", "understand ",
                                  "measure"));
  EXPECT_EQ(state.statement.consistency, "point-in-time");
  EXPECT_EQ(state.statement.pause_us, 700U);
  EXPECT_THAT(state.statement.notes,
              ElementsAre(HasSubstr("9000 bytes streamed in 20 ms")));
}

TEST_F(MeasureStateTest, PausesWhereAMomentCannotBeHadAndSaysWhy) {
  policy_.consistency = snapshot::Consistency::kPointInTime;
  for (const absl::Status& why :
       {absl::FailedPreconditionError("cannot migrate a domain with VFIO"),
        absl::ResourceExhaustedError("cannot migrate: too large"),
        absl::AbortedError("cannot migrate in time"),
        absl::UnimplementedError("cannot migrate compressed")}) {
    story_.clear();
    script_.saved = why;
    ASSERT_OK_AND_ASSIGN(const MeasuredState state, Measure());
    EXPECT_THAT(story_,
                ElementsAre("guard", "save", "guard-off", "understand ",
                            "prepare", "guard", "pause", "copy", "resume",
                            "guard-off", "look-again", "measure"));
    EXPECT_EQ(state.statement.consistency, "paused");
    EXPECT_EQ(state.statement.consistency_requested, "point-in-time");
    EXPECT_THAT(state.statement.notes,
                Contains(HasSubstr("no-point-in-time: cannot migrate")));
  }
}

TEST_F(MeasureStateTest, LeavesResumingToTheGuardWhenLibvirtIsGone) {
  policy_.consistency = snapshot::Consistency::kPointInTime;
  script_.saved = absl::UnavailableError("libvirtd died");
  EXPECT_THAT(Measure(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(story_, ElementsAre("guard", "save", "guard-fires"));
}

TEST_F(MeasureStateTest, S23_RefusesMemoryThatIsOnTwoHosts) {
  const absl::Status away = absl::FailedPreconditionError("post-copy: away");
  control_.here = {away};
  EXPECT_THAT(Measure(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                  HasSubstr("post-copy")));
  EXPECT_THAT(story_, IsEmpty());
  // It began while it was measured.
  control_.here = {absl::OkStatus(), away};
  EXPECT_THAT(Measure(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                  HasSubstr("post-copy")));
  EXPECT_THAT(story_, ElementsAre("understand ", "measure", "look-again"));
}

TEST_F(MeasureStateTest, NeedsAGuestThatRuns) {
  hypervisor_.Stop(uuid_);
  EXPECT_THAT(Measure(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                  HasSubstr("not-running")));
  EXPECT_THAT(story_, IsEmpty());
}

}  // namespace
}  // namespace vmattest::capture
