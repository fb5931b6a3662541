// Memory of real guests, read past QEMU, against what libvirt shows of it.

#include <poll.h>

#include <future>
#include <thread>

#include "integration/guest_memory_bed.h"
#include "support/run_command.h"

namespace vmattest::memory {
namespace {

using hypervisor::DomainState;
using testing::IsOk;
using testing::StatusIs;

class GuestMemoryTest : public GuestMemoryBed {
 protected:
  // For a DIMM of 128 MiB, beside 256 MiB in a cell.
  static std::vector<std::string> RoomForDimms(
      std::vector<std::string> options) {
    options.insert(
        options.end(),
        {"mem=256", "top=<maxMemory slots='4' unit='MiB'>1024</maxMemory>",
         "cpu=<cpu><numa><cell id='0' cpus='0' memory='256' unit='MiB'/>"
         "</numa></cpu>"});
    return options;
  }
  static std::string Dimm() {
    const std::string device = host_->folder() / "dimm-device.xml";
    std::ofstream(device) << "<memory model='dimm'><target><size unit='MiB'>"
                             "128</size><node>0</node></target></memory>";
    return device;
  }
};

// Measures one guest over and over on a thread of its own, until it cannot.
class MeasuringOn {
 public:
  MeasuringOn(MeasuredGuest& guest, MeasurePlan plan, MeasureCall call)
      : thread_([this, &guest, plan = std::move(plan), call = std::move(call)] {
          while (status_.ok()) {
            const auto measured = guest.Measure(plan, call);
            status_ = measured.status();
            if (!measured.ok()) {
              break;
            }
            if (rounds_++ == 0) {
              first_ = (*measured)[0].digests;
              begun_.set_value();
            }
            different_ += (*measured)[0].digests == first_ ? 0 : 1;
          }
          if (rounds_ == 0) {
            begun_.set_value();
          }
        }) {}
  MeasuringOn(const MeasuringOn&) = delete;
  MeasuringOn& operator=(const MeasuringOn&) = delete;
  ~MeasuringOn() { End().IgnoreError(); }

  void AwaitFirst() { begun_.get_future().wait(); }
  // Why it cannot.
  absl::Status End() {
    if (thread_.joinable()) {
      thread_.join();
    }
    return status_;
  }
  // After End(): good ones, and those that were not as the first.
  [[nodiscard]] int rounds() const { return rounds_; }
  [[nodiscard]] int different() const { return different_; }

 private:
  absl::Status status_;
  int rounds_ = 0;
  int different_ = 0;
  std::vector<uint8_t> first_;
  std::promise<void> begun_;
  std::thread thread_;
};

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
  Guest guest =
      Start("dimm", RoomForDimms({"backing=memfd", "kernel=none"}), false);
  WorkerMeasurer measurer(*pool_, *hypervisor_, Options());
  ASSERT_OK_AND_ASSIGN(auto open, measurer.Open(guest, Call()));
  EXPECT_EQ(open->ram(true).back().end, 256 * kMiB);
  ASSERT_THAT(host_->Virsh({"attach-device", "dimm", Dimm(), "--live"}),
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

// Linux gives back a DIMM that it did not bring into use.
TEST_F(GuestMemoryTest, OfADimmThatIsPulledOutMeanwhileIsNamedAsGone) {
  for (const std::string reader : {"shared-memory", "process-memory", "peek"}) {
    Start("pulled",
          RoomForDimms({reader == "process-memory" ? "backing=anonymous"
                                                   : "backing=memfd"}));
    ASSERT_THAT(host_->Virsh({"attach-device", "pulled", Dimm(), "--live"}),
                IsOk());
    Guest guest = Describe("pulled");
    ASSERT_EQ(guest.memory.devices.size(), 1U);
    WorkerMeasurer::Options options = Options();
    options.only_peek = reader == "peek";
    WorkerMeasurer measurer(*pool_, *hypervisor_, options);
    ASSERT_OK_AND_ASSIGN(auto open, measurer.Open(guest, Call()));
    EXPECT_EQ(open->reader(), reader)
        << ::testing::PrintToString(open->notes());
    // What is peeked at takes long.
    const AddressRange dimm = open->ram(true).back();
    MeasuringOn measuring(
        *open,
        Plan(options.only_peek ? std::vector<AddressRange>{dimm}
                               : open->ram(true)),
        Call());
    measuring.AwaitFirst();
    for (int i = 0; i < 10 && !guest.memory.devices.empty(); ++i) {
      // Each waits some seconds for the guest; one that comes too soon is asked
      // again.
      (void)host_->Virsh({"detach-device", "pulled", Dimm(), "--live"});
      guest = Describe("pulled");
    }
    EXPECT_EQ(guest.memory.devices.size(), 0U) << host_->Console("pulled");
    EXPECT_THAT(measuring.End(),
                StatusIs(absl::StatusCode::kUnavailable,
                         ::testing::HasSubstr("ram-gone: the VM lost dimm0")));
    EXPECT_GT(measuring.rounds(), 0);
    // Its worker lives, and says the same of all that was opened with the DIMM.
    EXPECT_THAT(open->Measure(Plan({{kMiB, 2 * kMiB}}), Call()),
                StatusIs(absl::StatusCode::kUnavailable,
                         ::testing::HasSubstr("ram-gone")));
    open.reset();
    ASSERT_OK_AND_ASSIGN(open, measurer.Open(guest, Call()));
    EXPECT_EQ(open->ram(true).back().end, 256 * kMiB);
    ASSERT_OK_AND_ASSIGN(const auto left,
                         open->Measure(Plan(open->ram(true)), Call()));
    EXPECT_EQ(left[0].unreadable, 0U);
    ASSERT_THAT(host_->Virsh({"destroy", "pulled"}), IsOk());
  }
}

constexpr const char* kVirtioMem =
    "<memory model='virtio-mem'><target><size unit='MiB'>64</size><node>0"
    "</node><block unit='MiB'>2</block><requested unit='MiB'>0</requested>"
    "</target></memory>";

// A guest that says so once it wrote to `address`.
absl::StatusOr<std::string> WritingTo(testing::LibvirtHost& host,
                                      const std::string& address) {
  return host.AddJob(
      "#!/bin/sh\ndevmem " + address + " 32 0x600d5eed && echo WRITTEN\n", {});
}

// libvirt 9.0 does not tell where virtio-mem is, later ones do: what they say
// is put aside here. A guest can use all of it, also what it was not given.
TEST_F(GuestMemoryTest, OfVirtioMemIsMeasuredWhereItIsProvedToBe) {
  constexpr uint64_t kAt = uint64_t{4} << 30;
  ASSERT_OK_AND_ASSIGN(const std::string initrd,
                       WritingTo(*host_, "0x100005000"));
  for (const std::string backing : {"memfd", "anonymous"}) {
    Guest guest =
        Start("given", RoomForDimms({"backing=" + backing, "initrd=" + initrd,
                                     std::string("devices=") + kVirtioMem}));
    ASSERT_TRUE(host_->AwaitConsole("given", "WRITTEN"))
        << host_->Console("given");
    ASSERT_EQ(guest.memory.devices.size(), 1U);
    EXPECT_EQ(guest.memory.devices[0].bytes, 64 * kMiB);
    EXPECT_EQ(guest.memory.devices[0].address.value_or(kAt), kAt);
    guest.memory.devices[0].address.reset();
    WorkerMeasurer measurer(*pool_, *hypervisor_, Options());
    ASSERT_OK_AND_ASSIGN(auto open, measurer.Open(guest, Call()));
    EXPECT_EQ(open->reader(),
              backing == "memfd" ? "shared-memory" : "process-memory");
    EXPECT_THAT(open->notes(),
                ::testing::Not(::testing::Contains(
                    ::testing::AnyOf(::testing::HasSubstr("left-out"),
                                     ::testing::HasSubstr("assumed")))));
    EXPECT_EQ(open->ram(true).back(), (AddressRange{kAt, kAt + 64 * kMiB}));
    const MeasurePlan plan = Plan({{kAt + 0x5000, kAt + 0x7000}});
    ASSERT_OK_AND_ASSIGN(const auto direct, open->Measure(plan, Call()));
    // Of anonymous memory a huge page may have come at once.
    EXPECT_GE(direct[0].present_bytes, kPageSize) << "what the guest wrote";
    EXPECT_TRUE(backing != "memfd" || direct[0].present_bytes == kPageSize);
    EXPECT_THAT(open->SaveMoment(Call()),
                StatusIs(absl::StatusCode::kFailedPrecondition,
                         ::testing::HasSubstr("virtiomem0")));

    WorkerMeasurer::Options peek = Options();
    peek.only_peek = true;
    peek.describe = [&](const Uuid&) { return guest.memory; };
    {
      // What is peeked at proves nothing.
      WorkerMeasurer peeking(*pool_, *hypervisor_, peek);
      ASSERT_OK_AND_ASSIGN(const auto peeked, peeking.Open(guest, Call()));
      EXPECT_EQ(peeked->ram(true).back().end, 256 * kMiB);
      EXPECT_THAT(
          peeked->notes(),
          ::testing::Contains("left-out: virtiomem0: its address is not told"));
    }
    guest.memory.devices[0].address = kAt;
    ASSERT_OK_AND_ASSIGN(const MeasuredRegion peeked,
                         Measure(guest, peek, plan));
    EXPECT_EQ(direct[0].digests, peeked.digests);
    ASSERT_THAT(host_->Virsh({"destroy", "given"}), IsOk());
  }
}

TEST_F(GuestMemoryTest, OfVirtioMemThatIsNotWhereItWouldBeNowIsNotMeasured) {
  constexpr uint64_t kAssumed = uint64_t{4} << 30;
  ASSERT_OK_AND_ASSIGN(const std::string initrd,
                       WritingTo(*host_, "0x108005000"));
  const std::string both =
      "devices=<memory model='dimm'><target><size unit='MiB'>128</size><node>0"
      "</node></target></memory>";
  Start("behind",
        RoomForDimms({"backing=memfd", "initrd=" + initrd, both + kVirtioMem}));
  ASSERT_TRUE(host_->AwaitConsole("behind", "WRITTEN"))
      << host_->Console("behind");
  WorkerMeasurer measurer(*pool_, *hypervisor_, Options());
  Guest guest = Describe("behind");
  ASSERT_EQ(guest.memory.devices.size(), 2U);
  guest.memory.devices[1].address.reset();
  {
    ASSERT_OK_AND_ASSIGN(const auto open, measurer.Open(guest, Call()));
    EXPECT_EQ(open->ram(true).back(),
              (AddressRange{kAssumed, kAssumed + (128 + 64) * kMiB}));
  }
  // Without the DIMM that it came after, it would be elsewhere.
  for (int i = 0; i < 10 && guest.memory.devices.size() == 2U; ++i) {
    (void)host_->Virsh({"detach-device", "behind", Dimm(), "--live"});
    guest = Describe("behind");
  }
  ASSERT_EQ(guest.memory.devices.size(), 1U) << host_->Console("behind");
  guest.memory.devices[0].address.reset();
  ASSERT_OK_AND_ASSIGN(const auto open, measurer.Open(guest, Call()));
  EXPECT_EQ(open->ram(true).back().end, 256 * kMiB);
  EXPECT_THAT(open->notes(),
              ::testing::Contains(::testing::HasSubstr(
                  "left-out: virtiomem0: layout-disproved: 0x100000000")));
  ASSERT_OK_AND_ASSIGN(const auto rest,
                       open->Measure(Plan(open->ram(true)), Call()));
  EXPECT_EQ(rest[0].unreadable, 0U);
  ASSERT_THAT(host_->Virsh({"destroy", "behind"}), IsOk());
}

// Empty, it could be anywhere: it is looked for again at each snapshot.
TEST_F(GuestMemoryTest, OfVirtioMemThatIsEmptyIsMeasuredAsAssumed) {
  Guest guest = Start("empty",
                      RoomForDimms({"backing=memfd", "kernel=none",
                                    std::string("devices=") + kVirtioMem}),
                      false);
  guest.memory.devices[0].address.reset();
  WorkerMeasurer measurer(*pool_, *hypervisor_, Options());
  for (int i = 0; i < 2; ++i) {
    ASSERT_OK_AND_ASSIGN(const auto open, measurer.Open(guest, Call()));
    EXPECT_THAT(open->notes(), ::testing::Contains(::testing::HasSubstr(
                                   "assumed: virtiomem0 is empty")));
    MeasurePlan plan = Plan({open->ram(true).back()});
    plan.regions.push_back(open->ram(true));
    plan.incremental = true;
    ASSERT_OK_AND_ASSIGN(const auto measured, open->Measure(plan, Call()));
    EXPECT_EQ(measured[0].pages, 64 * kMiB / kPageSize);
    EXPECT_EQ(measured[0].present_bytes, 0U);
    EXPECT_EQ(measured[1].unchanged, 0U) << "another worker each time";
  }
  ASSERT_THAT(host_->Virsh({"destroy", "empty"}), IsOk());
}

// More of them than there may be workers: none is lost.
TEST_F(GuestMemoryTest, OfAGuestThatIsDestroyedMeanwhileIsNamedAsGone) {
  const Guest other = Start("bystander", {"mem=64", "kernel=none"}, false);
  WorkerMeasurer measurer(*pool_, *hypervisor_, Options());
  for (int i = 0; i < 10; ++i) {
    const std::string backing = i % 2 == 0 ? "memfd" : "anonymous";
    const Guest guest = Start(
        "destroyed", {"mem=128", "kernel=none", "backing=" + backing}, false);
    // What stands still is the same as long as there is any of it.
    ASSERT_THAT(hypervisor_->Suspend(guest.uuid), IsOk());
    ASSERT_OK_AND_ASSIGN(auto open, measurer.Open(guest, Call()));
    MeasuringOn measuring(*open, Plan(open->ram(true)), Call());
    measuring.AwaitFirst();
    ASSERT_THAT(host_->Virsh({"destroy", "destroyed"}), IsOk());
    EXPECT_THAT(measuring.End(), StatusIs(absl::StatusCode::kUnavailable,
                                          ::testing::HasSubstr("guest-gone")))
        << backing;
    EXPECT_GT(measuring.rounds(), 0) << backing;
    EXPECT_EQ(measuring.different(), 0) << backing;
    open.reset();
    ASSERT_OK_AND_ASSIGN(open, measurer.Open(other, Call()));
    EXPECT_THAT(open->Measure(Plan(open->ram(true)), Call()), IsOk());
  }
  ASSERT_THAT(host_->Virsh({"destroy", "bystander"}), IsOk());
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
