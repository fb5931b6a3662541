#ifndef VMATTEST_TESTS_INTEGRATION_GUEST_MEMORY_BED_H_
#define VMATTEST_TESTS_INTEGRATION_GUEST_MEMORY_BED_H_

#include <fstream>
#include <sstream>

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

inline constexpr uint64_t kMiB = uint64_t{1} << 20;

// A libvirt of its own, and what measures its guests. One bed for all tests of
// a suite: it takes longest.
class GuestMemoryBed : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!testing::LibvirtHost::WhyNot().empty()) {
      return;
    }
    auto host = testing::LibvirtHost::Up("memory");
    ASSERT_THAT(host.status(), testing::IsOk());
    host_ = std::move(*host).release();
    observer_ = new testing::RecordingObserver;
    hypervisor_ = new hypervisor::LibvirtHypervisor({.uri = host_->uri()});
    ASSERT_THAT(hypervisor_->Start(*observer_), testing::IsOk());
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
    options.streams = host_->folder() / "streams";
    std::filesystem::create_directories(options.streams);
    options.describe = [](const Uuid& vm) -> absl::StatusOr<DomainMemory> {
      ASSIGN_OR_RETURN(const auto xml, hypervisor_->GetXml(vm));
      return xml.live ? measurement::ParseDomainMemory(xml.xml)
                      : absl::NotFoundError("it does not run");
    };
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
    EXPECT_THAT(xml.status(), testing::IsOk());
    EXPECT_THAT(host_->Virsh({"create", *xml}), testing::IsOk());
    if (kernel) {
      EXPECT_TRUE(host_->AwaitConsole(name, "GUEST-READY"));
    }
    return Describe(name);
  }
  static Guest Describe(const std::string& name) {
    Guest guest;
    const auto domain = hypervisor_->FindDomainByName(name);
    EXPECT_THAT(domain.status(), testing::IsOk());
    guest.uuid = domain->uuid;
    guest.name = name;
    const auto live = hypervisor_->GetXml(domain->uuid);
    EXPECT_THAT(live.status(), testing::IsOk());
    auto memory = measurement::ParseDomainMemory(live->xml);
    EXPECT_THAT(memory.status(), testing::IsOk());
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
    ASSERT_THAT(hypervisor_->Suspend(guest.uuid), testing::IsOk());
    WorkerMeasurer measurer(*pool_, *hypervisor_, Options());
    ASSERT_OK_AND_ASSIGN(auto open, measurer.Open(guest, Call()));
    EXPECT_EQ(open->reader(), reader)
        << ::testing::PrintToString(open->notes());
    EXPECT_THAT(open->map_proof(),
                ::testing::Not(::testing::HasSubstr("0 of")));
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
    ASSERT_THAT(host_->Virsh({"resume", guest.name}), testing::IsOk());
  }

  static inline testing::LibvirtHost* host_ = nullptr;
  static inline testing::RecordingObserver* observer_ = nullptr;
  static inline hypervisor::LibvirtHypervisor* hypervisor_ = nullptr;
  static inline inspection::WorkerPool* pool_ = nullptr;
};

}  // namespace vmattest::memory

#endif  // VMATTEST_TESTS_INTEGRATION_GUEST_MEMORY_BED_H_
