// Memory of real guests, read past QEMU, against what libvirt shows of it.

#include <poll.h>

#include "integration/guest_memory_bed.h"
#include "support/run_command.h"

namespace vmattest::memory {
namespace {

using hypervisor::DomainState;
using testing::IsOk;
using testing::StatusIs;

class GuestMemoryTest : public GuestMemoryBed {};

TEST_F(GuestMemoryTest, OfASharedMemoryGuestIsWhatQemuShows) {
  const Guest guest = Start("shared", {"backing=memfd", "mem=256"});
  ExpectReadersAgree(guest, "shared-memory");
  // A guest that is measured uses no more of the host than before.
  WorkerMeasurer measurer(*pool_, *hypervisor_, Options());
  ASSERT_OK_AND_ASSIGN(auto open, measurer.Open(guest, Call()));
  const uint64_t before = Resident(guest);
  ASSERT_OK_AND_ASSIGN(const auto all,
                       open->Measure(Plan(open->ram(true)), Call()));
  EXPECT_GT(before, 16 * 1024U);
  EXPECT_LT(Resident(guest), before + 4 * 1024);
  EXPECT_LT(all[0].present_bytes, 200 * kMiB);
  // A guest that ends in the middle is an answer, not a crash.
  ASSERT_THAT(host_->Virsh({"destroy", "shared"}), IsOk());
  EXPECT_THAT(open->Measure(Plan(open->ram(false)), Call()),
              StatusIs(absl::StatusCode::kUnavailable));
  open.reset();
  EXPECT_FALSE(measurer.Open(guest, Call()).ok());
}

TEST_F(GuestMemoryTest, OfAnAnonymousGuestIsWhatQemuShows) {
  const Guest guest = Start("anonymous", {"machine=pc", "mem=256"});
  ExpectReadersAgree(guest, "process-memory");
  WorkerMeasurer measurer(*pool_, *hypervisor_, Options());
  ASSERT_OK_AND_ASSIGN(auto open, measurer.Open(guest, Call()));
  const uint64_t before = Resident(guest);
  ASSERT_OK_AND_ASSIGN(const auto all,
                       open->Measure(Plan(open->ram(true)), Call()));
  EXPECT_LT(Resident(guest), before + 4 * 1024);
  EXPECT_EQ(all[0].unreadable, 0U);
  ASSERT_THAT(host_->Virsh({"destroy", "anonymous"}), IsOk());
  EXPECT_THAT(open->Measure(Plan(open->ram(false)), Call()),
              StatusIs(absl::StatusCode::kUnavailable));
}

// Both sides of 4 GiB, and two cells of one size. Nothing is booted: only
// firmware has touched it.
TEST_F(GuestMemoryTest, IsFoundOnBothSidesOfFourGiB) {
  for (const std::string machine : {"q35", "pc"}) {
    const Guest guest =
        Start("large",
              {"backing=memfd", "mem=6144", "cpus=2", "kernel=none",
               "machine=" + machine,
               "cpu=<cpu><numa><cell id='0' cpus='0' memory='1024' "
               "unit='MiB'/><cell id='1' cpus='1' memory='5120' unit='MiB'/>"
               "</numa></cpu>"},
              false);
    WorkerMeasurer measurer(*pool_, *hypervisor_, Options());
    ASSERT_OK_AND_ASSIGN(auto open, measurer.Open(guest, Call()));
    EXPECT_EQ(open->reader(), "shared-memory")
        << ::testing::PrintToString(open->notes());
    EXPECT_EQ(open->ram(false).size(), 3U);
    EXPECT_EQ(open->ram(false)[1].end,
              machine == "q35" ? 2048 * kMiB : 3072 * kMiB);
    ASSERT_THAT(host_->Virsh({"destroy", "large"}), IsOk());
  }
}

// A DIMM that was plugged in while the guest ran, beside RAM in cells.
TEST_F(GuestMemoryTest, OfAHotpluggedDimmIsMeasuredToo) {
  Guest guest = Start(
      "dimm",
      {"backing=memfd", "mem=256", "kernel=none",
       "top=<maxMemory slots='4' unit='MiB'>1024</maxMemory>",
       "cpu=<cpu><numa><cell id='0' cpus='0' memory='256' unit='MiB'/></numa>"
       "</cpu>"},
      false);
  WorkerMeasurer measurer(*pool_, *hypervisor_, Options());
  ASSERT_OK_AND_ASSIGN(auto open, measurer.Open(guest, Call()));
  EXPECT_EQ(open->ram(true).back().end, 256 * kMiB);
  const std::string device = host_->folder() / "dimm-device.xml";
  std::ofstream(device) << "<memory model='dimm'><target><size unit='MiB'>128"
                           "</size><node>0</node></target></memory>";
  ASSERT_THAT(host_->Virsh({"attach-device", "dimm", device, "--live"}),
              IsOk());
  open.reset();
  guest = Describe("dimm");
  ASSERT_EQ(guest.memory.devices.size(), 1U);
  // A worker that knows the guest without it is not used again.
  ASSERT_OK_AND_ASSIGN(open, measurer.Open(guest, Call()));
  EXPECT_EQ(open->reader(), "shared-memory")
      << ::testing::PrintToString(open->notes());
  const std::vector<AddressRange> ram = open->ram(true);
  EXPECT_EQ(ram.back().begin, guest.memory.devices[0].address);
  EXPECT_EQ(ram.back().end - ram.back().begin, 128 * kMiB);
  ASSERT_OK_AND_ASSIGN(const auto all, open->Measure(Plan(ram), Call()));
  EXPECT_EQ(all[0].pages, (256 + 128) * kMiB / kPageSize - 32);
  EXPECT_EQ(all[0].unreadable, 0U);
  // The stream has it by QEMU's own name for it.
  ASSERT_OK_AND_ASSIGN(const SavedMoment moment, open->SaveMoment(Call()));
  EXPECT_GT(moment.stream_bytes, 0U);
  ASSERT_THAT(host_->Virsh({"destroy", "dimm"}), IsOk());
}

// The machine's own setting, given back however the test ends.
class HugePages {
 public:
  explicit HugePages(int count) : before_(Read()) { Write(before_ + count); }
  HugePages(const HugePages&) = delete;
  HugePages& operator=(const HugePages&) = delete;
  ~HugePages() { Write(before_); }
  static int Read() {
    int count = 0;
    std::ifstream(kPath) >> count;
    return count;
  }

 private:
  static constexpr const char* kPath = "/proc/sys/vm/nr_hugepages";
  static void Write(int count) { std::ofstream(kPath) << count; }
  const int before_;
};

TEST_F(GuestMemoryTest, InHugePagesIsWhatQemuShows) {
  const HugePages pages(48);
  if (HugePages::Read() < 48) {
    GTEST_SKIP() << "there are no 48 huge pages of 2 MiB";
  }
  const std::string bed = host_->folder() / "host";
  const std::string mount = host_->folder() / "huge";
  std::filesystem::create_directories(mount);
  ASSERT_THAT(testing::RunCommand({VMATTEST_TESTBED "/host", "exec", bed,
                                   "mount", "-t", "hugetlbfs", "none", mount}),
              IsOk());
  // libvirtd looks for them when it starts.
  ASSERT_THAT(host_->StopLibvirtd("TERM"), IsOk());
  ASSERT_THAT(host_->StartLibvirtd(), IsOk());
  for (int i = 0; i < 600 && !hypervisor_->ListDomains().ok(); ++i) {
    (void)poll(nullptr, 0, 100);
  }
  for (const std::string access : {"private", "shared"}) {
    const Guest guest = Start("huge",
                              {"mem=64", "kernel=none",
                               "top=<memoryBacking><hugepages/><access mode='" +
                                   access + "'/></memoryBacking>"},
                              false);
    ASSERT_THAT(hypervisor_->Suspend(guest.uuid), IsOk());
    WorkerMeasurer measurer(*pool_, *hypervisor_, Options());
    ASSERT_OK_AND_ASSIGN(auto open, measurer.Open(guest, Call()));
    EXPECT_EQ(open->reader(),
              access == "shared" ? "shared-memory" : "process-memory")
        << ::testing::PrintToString(open->notes());
    const MeasurePlan plan = Plan({{0, 0xA0000}, {63 * kMiB, 64 * kMiB}});
    ASSERT_OK_AND_ASSIGN(const auto direct, open->Measure(plan, Call()));
    WorkerMeasurer::Options peek = Options();
    peek.only_peek = true;
    ASSERT_OK_AND_ASSIGN(const MeasuredRegion peeked,
                         Measure(guest, peek, plan));
    EXPECT_EQ(direct[0].digests, peeked.digests);
    EXPECT_EQ(direct[0].unreadable, 0U);
    ASSERT_THAT(host_->Virsh({"destroy", "huge"}), IsOk());
  }
}

TEST_F(GuestMemoryTest, ThatABalloonTakesAwayMeanwhileIsNoCrash) {
  const Guest guest = Start("balloon", {"backing=memfd", "mem=384"});
  WorkerMeasurer measurer(*pool_, *hypervisor_, Options());
  ASSERT_OK_AND_ASSIGN(auto open, measurer.Open(guest, Call()));
  const MeasurePlan plan = Plan(open->ram(true));
  ASSERT_OK_AND_ASSIGN(const auto before, open->Measure(plan, Call()));
  ASSERT_THAT(host_->Virsh({"setmem", "balloon", "192M", "--live"}), IsOk());
  // Again and again, until it has come to rest.
  uint64_t last = 0;
  for (int same = 0; same < 5;) {
    ASSERT_OK_AND_ASSIGN(const auto now, open->Measure(plan, Call()));
    EXPECT_EQ(now[0].unreadable, 0U);
    same = now[0].present_bytes == last ? same + 1 : 0;
    last = now[0].present_bytes;
  }
  EXPECT_LE(last, before[0].present_bytes);
  ASSERT_THAT(host_->Virsh({"setmem", "balloon", "384M", "--live"}), IsOk());
  EXPECT_THAT(open->Measure(plan, Call()), IsOk());
  ASSERT_THAT(host_->Virsh({"destroy", "balloon"}), IsOk());
}

TEST_F(GuestMemoryTest, PausesForAMomentAndNeverOverrulesSomebodyElse) {
  const Guest guest = Start("paused", {"kernel=none", "mem=64"}, false);
  const auto state = [&] { return hypervisor_->FindDomain(guest.uuid)->state; };
  ASSERT_OK_AND_ASSIGN(const bool ran, hypervisor_->BeginPause(guest.uuid));
  EXPECT_TRUE(ran);
  EXPECT_EQ(state(), DomainState::kPaused);
  EXPECT_THAT(hypervisor_->BeginPause(guest.uuid),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_THAT(hypervisor_->EndPause(guest.uuid), IsOk());
  EXPECT_EQ(state(), DomainState::kRunning);
  // Somebody suspends it meanwhile: it stays so.
  ASSERT_THAT(hypervisor_->BeginPause(guest.uuid).status(), IsOk());
  ASSERT_THAT(hypervisor_->Suspend(guest.uuid), IsOk());
  ASSERT_THAT(hypervisor_->EndPause(guest.uuid), IsOk());
  EXPECT_EQ(state(), DomainState::kPaused);
  // It stood already: it goes on standing.
  ASSERT_OK_AND_ASSIGN(const bool stood, hypervisor_->BeginPause(guest.uuid));
  EXPECT_FALSE(stood);
  ASSERT_THAT(hypervisor_->EndPause(guest.uuid), IsOk());
  EXPECT_EQ(state(), DomainState::kPaused);
  EXPECT_THAT(hypervisor_->EndPause(guest.uuid),
              StatusIs(absl::StatusCode::kNotFound));
  ASSERT_THAT(host_->Virsh({"destroy", "paused"}), IsOk());
}

}  // namespace
}  // namespace vmattest::memory
