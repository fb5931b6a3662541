// Memory of real guests, read past QEMU, against what libvirt shows of it.

#include <fstream>
#include <sstream>

#include "crypto/digest.h"
#include "fakes/recording_observer.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "hypervisor/libvirt/libvirt_hypervisor.h"
#include "inspection/worker/worker_pool.h"
#include "kvm/linux/process_scan.h"
#include "measurement/domain_memory.h"
#include "memory/worker/worker_measurer.h"
#include "support/libvirt_host.h"
#include "support/matchers.h"

namespace vmattest::memory {
namespace {

using hypervisor::DomainState;
using hypervisor::LibvirtHypervisor;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::LibvirtHost;
using ::testing::Not;
using testing::StatusIs;

constexpr uint64_t kMiB = uint64_t{1} << 20;

class GuestMemoryTest : public ::testing::Test {
 protected:
  // One bed for all: it takes longest.
  static void SetUpTestSuite() {
    if (!LibvirtHost::WhyNot().empty()) {
      return;
    }
    auto host = LibvirtHost::Up("memory");
    ASSERT_THAT(host.status(), IsOk());
    host_ = std::move(*host).release();
    observer_ = new testing::RecordingObserver;
    hypervisor_ = new LibvirtHypervisor({.uri = host_->uri()});
    ASSERT_THAT(hypervisor_->Start(*observer_), IsOk());
    ASSERT_TRUE(observer_->WaitFor("connected"));
    pool_ = new inspection::WorkerPool(ForMemory(
        {.program = VMATTEST_MEMORY_WORKER, .user = "", .max_workers = 8},
        512 * kMiB));
  }
  static void TearDownTestSuite() {
    delete pool_;
    delete hypervisor_;
    delete observer_;
    delete host_;
  }
  void SetUp() override { VMATTEST_REQUIRE_LIBVIRT_HOST(); }

  static WorkerMeasurer::Options Options() {
    WorkerMeasurer::Options options;
    options.libvirt_run_dir = host_->folder() / "host" / "run" / "qemu";
    return options;
  }
  static MeasureCall Call() {
    return {std::chrono::steady_clock::now() + std::chrono::minutes(1), {}, {}};
  }
  // Starts a real guest and waits until it says that it is up.
  static Guest Start(const std::string& name,
                     const std::vector<std::string>& options,
                     bool kernel = true) {
    Guest guest;
    const auto xml = host_->MakeDomain(name, options);
    EXPECT_THAT(xml.status(), IsOk());
    EXPECT_THAT(host_->Virsh({"create", *xml}), IsOk());
    if (kernel) {
      EXPECT_TRUE(host_->AwaitConsole(name, "GUEST-READY"));
    }
    return Describe(name);
  }
  static Guest Describe(const std::string& name) {
    Guest guest;
    const auto domain = hypervisor_->FindDomainByName(name);
    EXPECT_THAT(domain.status(), IsOk());
    guest.uuid = domain->uuid;
    guest.name = name;
    const auto live = hypervisor_->GetXml(domain->uuid);
    EXPECT_THAT(live.status(), IsOk());
    auto memory = measurement::ParseDomainMemory(live->xml);
    EXPECT_THAT(memory.status(), IsOk());
    guest.memory = *std::move(memory);
    return guest;
  }
  static kvm::ProcessId ProcessOf(const Guest& guest) {
    return kvm::FindDomainProcess(guest.name, ToString(guest.uuid),
                                  Options().libvirt_run_dir, "/proc")
        .value_or(kvm::ProcessId{});
  }
  // KiB of RAM that the process has, of any kind.
  static uint64_t Resident(const Guest& guest) {
    std::ifstream status(fmt::format("/proc/{}/status", ProcessOf(guest).pid));
    uint64_t total = 0;
    for (std::string line; std::getline(status, line);) {
      std::istringstream words(line);
      std::string key;
      uint64_t value = 0;
      if (words >> key >> value && (key == "RssAnon:" || key == "RssShmem:")) {
        total += value;
      }
    }
    return total;
  }
  static MeasurePlan Plan(std::vector<AddressRange> ranges) {
    MeasurePlan plan;
    plan.regions = {std::move(ranges)};
    return plan;
  }
  static absl::StatusOr<MeasuredRegion> Measure(const Guest& guest,
                                                WorkerMeasurer::Options options,
                                                const MeasurePlan& plan) {
    WorkerMeasurer measurer(*pool_, *hypervisor_, std::move(options));
    ASSIGN_OR_RETURN(const auto open, measurer.Open(guest, Call()));
    ASSIGN_OR_RETURN(auto regions, open->Measure(plan, Call()));
    return std::move(regions[0]);
  }
  // All readers see the same, of a guest that stands still.
  static void ExpectReadersAgree(const Guest& guest, const char* reader) {
    ASSERT_THAT(hypervisor_->Suspend(guest.uuid), IsOk());
    WorkerMeasurer measurer(*pool_, *hypervisor_, Options());
    ASSERT_OK_AND_ASSIGN(auto open, measurer.Open(guest, Call()));
    EXPECT_EQ(open->reader(), reader)
        << ::testing::PrintToString(open->notes());
    EXPECT_THAT(open->map_proof(), Not(HasSubstr("0 of")));
    const std::vector<AddressRange> ram = open->ram(false);
    // Low memory, where the kernel is, and the end of all.
    const MeasurePlan plan = Plan({{0, 0xA0000},
                                   {16 * kMiB, 24 * kMiB},
                                   {ram.back().end - kMiB, ram.back().end}});
    ASSERT_OK_AND_ASSIGN(const auto direct, open->Measure(plan, Call()));
    WorkerMeasurer::Options peek = Options();
    peek.only_peek = true;
    ASSERT_OK_AND_ASSIGN(const MeasuredRegion peeked,
                         Measure(guest, peek, plan));
    EXPECT_EQ(direct[0].digests, peeked.digests);
    EXPECT_EQ(direct[0].unreadable, 0U);
    EXPECT_GT(direct[0].present_bytes, 4 * kMiB);
    ASSERT_THAT(host_->Virsh({"resume", guest.name}), IsOk());
  }

  static inline LibvirtHost* host_ = nullptr;
  static inline testing::RecordingObserver* observer_ = nullptr;
  static inline LibvirtHypervisor* hypervisor_ = nullptr;
  static inline inspection::WorkerPool* pool_ = nullptr;
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
