#ifndef VMATTEST_TESTS_UNIT_RPC_RPC_FIXTURE_H_
#define VMATTEST_TESTS_UNIT_RPC_RPC_FIXTURE_H_

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "attestor/attestor.h"
#include "attestor/recorder.h"
#include "base/clock.h"
#include "base/executor.h"
#include "cli/connection.h"
#include "cli/generic_call.h"
#include "fakes/fake_host_tpm.h"
#include "fakes/fake_hypervisor.h"
#include "fakes/fake_vm_store.h"
#include "gtest/gtest.h"
#include "image/content_digest.h"
#include "ops/health.h"
#include "rpc/host_services.h"
#include "signing/local_signer.h"
#include "support/matchers.h"
#include "support/temp_dir.h"
#include "vmattest/v1/admin.grpc.pb.h"
#include "vmattest/v1/attestation.grpc.pb.h"

namespace vmattest::rpc {

inline std::chrono::system_clock::time_point In(
    std::chrono::milliseconds time) {
  return std::chrono::system_clock::now() + time;
}

// Holds threads until it is opened.
class Gate {
 public:
  void Close() {
    const std::lock_guard lock(mutex_);
    open_ = false;
  }
  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void Pass() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
    --waiting_;
  }
  void AwaitWaiting(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this, count] { return waiting_ >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = true;
  int waiting_ = 0;
};

class NoFiles final : public image::ContentDigester {
 public:
  absl::StatusOr<image::ContentDigest> Digest(const Request&) override {
    return absl::NotFoundError("no files here");
  }
};

struct InsideLimits {
  size_t request_threads = 4;
  size_t queued_requests = 64;
  size_t watchers = 8;
  size_t watcher_queue = 64;
};

// A daemon's inside over fakes, to be served on any listener.
class Inside {
 public:
  explicit Inside(InsideLimits limits = {})
      : limits_(limits),
        events(limits.watchers),
        recorder(store, events, clock),
        measurer(digester, nullptr),
        signer(tpm, clock,
               {.work = {.state_dir = state.path(),
                         .max_pending = 64,
                         .post_quantum = {.mode = signing::PqMode::kOff}}}),
        requests("request", limits.request_threads, limits.queued_requests),
        watch("watch", 1, limits.watchers + 2),
        attestor(
            {hypervisor, measurer, signer, store, recorder, requests, clock},
            {.content = measurement::ContentPolicy::kNone,
             .salted = [this](const Uuid& uuid) { return uuid == salted; },
             .host_log = {.folder = state.path() / "eventlog",
                          .boot_log = state.path() / "boot-log"}}) {
    hypervisor.OnGetXml([this] { gate.Pass(); });
    web = Define("web");
    db = Define("db");
    salted = db;
  }
  ~Inside() {
    gate.Open();
    signer.Stop();
  }

  Uuid Define(const std::string& name) {
    const Uuid uuid = testing::FakeHypervisor::UuidOf(name);
    return hypervisor.Define(name, testing::FakeHypervisor::Xml(name, uuid));
  }

  // Stores and publishes one event; its sequence is the next one.
  void Happen(const Uuid& uuid, const std::string& name) {
    attestor::Observation seen;
    seen.vm = {.uuid = uuid, .name = name, .state = "running"};
    seen.kind = "started";
    seen.begun = recorder.Begin();
    ASSERT_THAT(recorder.Record(seen), testing::IsOk());
  }

  // The signer opens the TPM on its own thread.
  void AwaitTpm() {
    absl::Status status;
    do {
      status = signer.ListKeys().status();
    } while (absl::IsUnavailable(status));
    ASSERT_THAT(status, testing::IsOk());
  }

  ServiceMaker Services() {
    return HostServices(
        {.attestor = attestor,
         .requests = requests,
         .events = {.events = events,
                    .store = store,
                    .watch = watch,
                    .queue = limits_.watcher_queue},
         .clock = clock,
         .defaults = {.content = measurement::ContentPolicy::kNone},
         .unmanaged = [this] { return unmanaged; }},
        {.status = [] { return DaemonStatus(); },
         .reconcile = [] { return attestor::ReconcileResult{.measured = 3}; },
         .flush_digest_cache = [] { return uint64_t{7}; },
         .set_log_level =
             [](std::string_view level) {
               return level == "info" ? absl::OkStatus()
                                      : absl::InvalidArgumentError("");
             },
         .vm_salt =
             [this](const std::string& vm) {
               return vm == "db" ? store.Salt(salted)
                                 : absl::StatusOr<SecretBytes>(
                                       absl::NotFoundError(vm));
             },
         .start_vm =
             [](const std::string& vm, bool keep) {
               return vm == "web" ? absl::StatusOr<VmStart>(VmStart{
                                        .state = keep ? "paused" : "ended",
                                        .code = "gate-file-swapped",
                                        .sentence = "another file",
                                        .vm_uuid = "uuid"})
                                  : absl::NotFoundError(vm);
             },
         .signer = &signer});
  }

 private:
  const InsideLimits limits_;

 public:
  const SystemClock clock;
  testing::TempDir state;  // the signer's
  Gate gate;               // before each read of a VM's XML
  testing::FakeHypervisor hypervisor;
  testing::FakeVmStore store;
  testing::FakeHostTpm tpm;
  attestor::EventHub events;
  attestor::Recorder recorder;
  NoFiles digester;
  measurement::DomainMeasurer measurer;
  signing::LocalSigner signer;
  ThreadPool requests;
  ThreadPool watch;
  attestor::Attestor attestor;
  Uuid web;
  Uuid db;
  Uuid salted;  // whose leaves are: db's
  std::vector<kvm::VmProcess> unmanaged;
};

// The inside served on a socket of one kind.
class SocketTest : public ::testing::Test {
 protected:
  void Serve(Listener listener = Listener::kAdminSocket,
             InsideLimits limits = {}, ServerLimits server_limits = {}) {
    inside_ = std::make_unique<Inside>(limits);
    auto server = Server::StartOnSocket(listener, socket(), "",
                                        inside_->Services(), server_limits);
    ASSERT_THAT(server, testing::IsOk());
    server_ = *std::move(server);
    auto channel = cli::Connect({.socket = socket().string()});
    ASSERT_THAT(channel, testing::IsOk());
    channel_ = *channel;
    attestation_ = v1::Attestation::NewStub(channel_);
    admin_ = v1::Admin::NewStub(channel_);
  }
  void TearDown() override {
    if (inside_ != nullptr) {
      inside_->gate.Open();
    }
    server_.reset();
    inside_.reset();
  }

  [[nodiscard]] std::filesystem::path socket() const {
    return dir_.path() / "s.sock";
  }

  // Calls a method with a deadline; its status as the client library has it.
  template <class Stub, class Request, class Response>
  absl::Status Call(
      Stub& stub,
      grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                   Response*),
      const Request& request, Response* response,
      std::chrono::milliseconds timeout = std::chrono::seconds(20)) {
    grpc::ClientContext context;
    context.set_deadline(In(timeout));
    return FromGrpc((stub.*method)(&context, request, response));
  }

  testing::TempDir dir_;
  std::unique_ptr<Inside> inside_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Attestation::Stub> attestation_;
  std::unique_ptr<v1::Admin::Stub> admin_;
};

}  // namespace vmattest::rpc

#endif  // VMATTEST_TESTS_UNIT_RPC_RPC_FIXTURE_H_
