#ifndef VMATTEST_TESTS_UNIT_ATTESTOR_ATTESTOR_BED_H_
#define VMATTEST_TESTS_UNIT_ATTESTOR_ATTESTOR_BED_H_

#include <atomic>
#include <functional>
#include <string>

#include "attestor/recorder.h"
#include "crypto/digest.h"
#include "fakes/fake_hypervisor.h"
#include "fakes/fake_vm_store.h"
#include "fakes/inline_executor.h"
#include "fakes/manual_clock.h"
#include "image/content_digest.h"
#include "measurement/domain_measurer.h"

namespace vmattest::testing {

// Files in memory: the digest of a file is that of its path, but for those
// that are missing. Callable from any thread, once set up.
class PathDigester final : public image::ContentDigester {
 public:
  absl::StatusOr<image::ContentDigest> Digest(const Request& request) override {
    ++reads;
    if (on_digest) {
      on_digest(request);
    }
    if (request.cancelled && request.cancelled()) {
      return absl::CancelledError("cancelled");
    }
    if (request.path == missing) {
      return absl::NotFoundError(request.path + ": no such file");
    }
    return image::ContentDigest{
        .digest = Hash(request.algorithm, AsBytes(request.path)),
        .size = 4096,
        .cached = false,
        .since_unix_ms = 0};
  }

  std::atomic<int> reads = 0;
  std::string missing;
  std::function<void(const Request&)> on_digest;
};

// What every use-case test needs: all parts but the one under test.
struct AttestorBed {
  // A domain with a kernel to read, /images/NAME.vmlinuz.
  static std::string Xml(const std::string& name,
                         const std::string& extra = "") {
    return "<domain type='qemu'><name>" + name + "</name><uuid>" +
           ToString(FakeHypervisor::UuidOf(name)) +
           "</uuid><memory unit='MiB'>256</memory><vcpu>1</vcpu><os>"
           "<type arch='x86_64' machine='q35'>hvm</type><kernel>/images/" +
           name + ".vmlinuz</kernel></os>" + extra + "</domain>";
  }
  Uuid Define(const std::string& name, const std::string& extra = "") {
    return hypervisor.Define(name, Xml(name, extra));
  }
  inventory::VmRecord Stored(const Uuid& uuid) {
    return store.Find(uuid).value().value();
  }
  std::vector<std::string> EventKinds() {
    std::vector<std::string> kinds;
    for (const inventory::EventRecord& event : Events()) {
      kinds.push_back(event.kind);
    }
    return kinds;
  }
  std::vector<inventory::EventRecord> Events() {
    return store.Events(0, 1000).value();
  }

  ManualClock clock;
  InlineExecutor executor;
  PathDigester digester;
  measurement::DomainMeasurer measurer{digester, nullptr};
  FakeHypervisor hypervisor;
  FakeVmStore store;
  attestor::EventHub events{8};
  attestor::Recorder recorder{store, events, clock};
};

// Keeps tasks until told to run them. Callable from any thread.
class HeldExecutor final : public Executor {
 public:
  [[nodiscard]] absl::Status Submit(std::function<void()> task) override {
    const MutexLock lock(mutex_);
    if (full_) {
      return absl::ResourceExhaustedError("full");
    }
    tasks_.push_back(std::move(task));
    return absl::OkStatus();
  }
  void RunAll() {
    while (true) {
      std::function<void()> task;
      {
        const MutexLock lock(mutex_);
        if (tasks_.empty()) {
          return;
        }
        task = std::move(tasks_.front());
        tasks_.erase(tasks_.begin());
      }
      task();
    }
  }
  void SetFull(bool full) {
    const MutexLock lock(mutex_);
    full_ = full;
  }
  [[nodiscard]] size_t size() const {
    const MutexLock lock(mutex_);
    return tasks_.size();
  }

 private:
  mutable Mutex mutex_;
  std::vector<std::function<void()>> tasks_ GUARDED_BY(mutex_);
  bool full_ GUARDED_BY(mutex_) = false;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_UNIT_ATTESTOR_ATTESTOR_BED_H_
