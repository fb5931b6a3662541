// Lifecycle and measurement on a real libvirtd and real QEMU processes.
#include "attestor/lifecycle.h"

#include <functional>
#include <memory>
#include <thread>

#include "fakes/fake_vm_store.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "hypervisor/libvirt/libvirt_hypervisor.h"
#include "image/file_digester.h"
#include "inventory/sqlite/sqlite_vm_store.h"
#include "support/libvirt_host.h"
#include "support/matchers.h"
#include "support/run_command.h"

namespace vmattest::attestor {
namespace {

using inventory::EventRecord;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::LibvirtHost;
using ::testing::SizeIs;

// The daemon's chain from libvirt to the store, without TPM and gRPC.
struct Daemon {
  Daemon(const std::string& uri, inventory::VmStore& vm_store)
      : store(vm_store), hypervisor({.uri = uri}) {
    EXPECT_THAT(hypervisor.Start(lifecycle), IsOk());
  }
  ~Daemon() { hypervisor.Stop(); }

  // Looks again after each event; false if it does not hold within 20 seconds.
  bool Until(const std::function<bool()>& holds) {
    const auto end =
        std::chrono::steady_clock::now() + std::chrono::seconds(20);
    const MutexLock lock(mutex);
    while (!holds()) {
      if (!changed.WaitUntil(mutex, end)) {
        return holds();
      }
    }
    return true;
  }
  // The first event of that domain and kind; waits for it.
  EventRecord Await(const std::string& name, const std::string& kind) {
    EventRecord found;
    EXPECT_TRUE(Until([&] {
      const auto recorded = store.Events(0, 1000).value();
      for (const EventRecord& event : recorded) {
        if (event.name == name && event.kind == kind) {
          found = event;
          return true;
        }
      }
      return false;
    })) << "no event '"
        << kind << "' of " << name;
    return found;
  }

  inventory::VmStore& store;
  Mutex mutex;
  CondVar changed;
  SystemClock clock;
  ThreadPool hashing{"hashing", 2, 64};
  ThreadPool work{"lifecycle", 2, 16};
  image::DigestCache cache{clock, {}};
  image::FileDigester digester{clock, hashing, cache};
  measurement::DomainMeasurer measurer{digester, nullptr};
  EventHub events{8};
  const std::unique_ptr<EventHub::Subscription> subscription =
      events
          .Subscribe([this](const WatchedEvent&) {
            const MutexLock lock(mutex);
            changed.NotifyAll();
          })
          .value();
  Recorder recorder{store, events, clock};
  hypervisor::LibvirtHypervisor hypervisor;
  Lifecycle lifecycle{{.hypervisor = hypervisor,
                       .measurer = measurer,
                       .store = store,
                       .recorder = recorder,
                       .work = work,
                       .clock = clock},
                      {}};
};

class LibvirtLifecycleTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (LibvirtHost::WhyNot().empty()) {
      auto host = LibvirtHost::Up("lifecycle");
      ASSERT_THAT(host, IsOk());
      host_ = host->release();
    }
  }
  static void TearDownTestSuite() {
    delete host_;
    host_ = nullptr;
  }
  void SetUp() override {
    VMATTEST_REQUIRE_LIBVIRT_HOST();
    ASSERT_NE(host_, nullptr);
  }

  static void Virsh(std::vector<std::string> words) {
    ASSERT_THAT(host_->Virsh(std::move(words)), IsOk());
  }
  static std::string DomainFile(const std::string& name,
                                std::vector<std::string> options) {
    return host_->MakeDomain(name, options).value();
  }
  static LibvirtHost* host_;
  testing::FakeVmStore store_;
};

LibvirtHost* LibvirtLifecycleTest::host_ = nullptr;

TEST_F(LibvirtLifecycleTest, TheRootStaysTheSameFromDefinitionToStop) {
  Daemon daemon(host_->uri(), store_);
  const std::string disk = host_->folder() / "web.img";
  ASSERT_THAT(testing::RunCommand({"truncate", "-s", "1M", disk}), IsOk());
  const std::string file =
      DomainFile("web", {"kernel=none", "mem=64", "tpm=crb", "user=1",
                         "backing=memfd", "disk=" + disk});
  Virsh({"define", file});
  const EventRecord defined = daemon.Await("web", "defined");
  ASSERT_TRUE(defined.measurement.has_value());
  EXPECT_THAT(defined.measurement->error, IsEmpty());
  EXPECT_THAT(defined.measurement->root, SizeIs(32));
  Virsh({"start", "web"});
  const EventRecord started = daemon.Await("web", "started");
  EXPECT_EQ(started.measurement->root, defined.measurement->root)
      << started.measurement->error;
  EXPECT_FALSE(started.changed);
  Virsh({"destroy", "web"});
  EXPECT_EQ(daemon.Await("web", "stopped").measurement->root,
            defined.measurement->root);
  Virsh({"undefine", "web"});
  const EventRecord undefined = daemon.Await("web", "undefined");
  EXPECT_EQ(store_.Find(undefined.uuid).value()->state, "undefined");
}

TEST_F(LibvirtLifecycleTest, ARealGuestIsMeasuredWithItsKernel) {
  Daemon daemon(host_->uri(), store_);
  const std::string file = DomainFile("guest", {});
  Virsh({"define", file});
  const EventRecord defined = daemon.Await("guest", "defined");
  EXPECT_THAT(defined.measurement->error, IsEmpty());
  Virsh({"start", "guest"});
  EXPECT_EQ(daemon.Await("guest", "started").measurement->root,
            defined.measurement->root);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(90);
  while (host_->Console("guest").find("GUEST-READY") == std::string::npos &&
         std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_THAT(host_->Console("guest"), HasSubstr("GUEST-READY"));
  Virsh({"destroy", "guest"});
  Virsh({"undefine", "guest"});
}

TEST_F(LibvirtLifecycleTest, ATransientDomainIsGoneWhenItStops) {
  Daemon daemon(host_->uri(), store_);
  Virsh({"create", DomainFile("job", {"kernel=none", "mem=64"})});
  const EventRecord started = daemon.Await("job", "started");
  EXPECT_THAT(started.measurement->root, SizeIs(32));
  Virsh({"destroy", "job"});
  daemon.Await("job", "stopped");
  EXPECT_EQ(store_.Find(started.uuid).value()->state, "undefined");
}

TEST_F(LibvirtLifecycleTest, WhatWasDefinedWhileTheDaemonWasAwayIsFound) {
  { Daemon daemon(host_->uri(), store_); }
  Virsh({"define", DomainFile("away", {"kernel=none", "mem=64"})});
  EXPECT_TRUE(store_.Events(0, 10).value().empty());
  {
    Daemon daemon(host_->uri(), store_);
    EXPECT_THAT(daemon.Await("away", "reconciled").measurement->root,
                SizeIs(32));
  }
  Virsh({"undefine", "away"});
}

TEST_F(LibvirtLifecycleTest, WhatHappenedWhileLibvirtdWasDownIsFound) {
  Daemon daemon(host_->uri(), store_);
  Virsh({"define", DomainFile("crash", {"kernel=none", "mem=64"})});
  Virsh({"start", "crash"});
  const EventRecord started = daemon.Await("crash", "started");
  ASSERT_THAT(host_->StopLibvirtd("KILL"), IsOk());
  // QEMU outlives libvirtd; its end is then nobody's event.
  ASSERT_THAT(host_->KillGuest("crash"), IsOk());
  ASSERT_THAT(host_->StartLibvirtd(), IsOk());
  EXPECT_TRUE(daemon.Until(
      [&] { return store_.Find(started.uuid).value()->state == "shutoff"; }));
  Virsh({"undefine", "crash"});
}

TEST_F(LibvirtLifecycleTest, AMissingImageIsRecordedAsTheReason) {
  Daemon daemon(host_->uri(), store_);
  const std::string file = DomainFile(
      "broken", {"kernel=none", "mem=64", "disk=/nonexistent/disk.img"});
  Virsh({"define", file});
  const EventRecord defined = daemon.Await("broken", "defined");
  EXPECT_THAT(defined.measurement->root, IsEmpty());
  EXPECT_THAT(defined.measurement->error, HasSubstr("/nonexistent/disk.img"));
  Virsh({"undefine", "broken"});
}

TEST_F(LibvirtLifecycleTest, FollowsManyDomainsAtOnce) {
  auto store =
      inventory::SqliteVmStore::Open(host_->folder() / "vms.sqlite").value();
  Daemon daemon(host_->uri(), *store);
  constexpr int kCount = 40;
  for (int i = 0; i < kCount; ++i) {
    Virsh({"define",
           DomainFile(fmt::format("many-{}", i), {"kernel=none", "mem=64"})});
  }
  ASSERT_OK_AND_ASSIGN(const ReconcileResult result,
                       daemon.lifecycle.Reconcile());
  EXPECT_EQ(result.measured, static_cast<uint64_t>(kCount));
  EXPECT_EQ(result.failed, 0u);
  ASSERT_OK_AND_ASSIGN(const auto vms, store->List(std::nullopt, 1000));
  EXPECT_THAT(vms, SizeIs(kCount));
  for (int i = 0; i < kCount; ++i) {
    Virsh({"undefine", fmt::format("many-{}", i)});
  }
}

}  // namespace
}  // namespace vmattest::attestor
