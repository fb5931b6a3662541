// A writer of a log in etcd that dies at one of its writes:
//   etcd_fault_writer ENDPOINT CERTIFICATE KEY CA PREFIX
//                     BATCHES RECORDS RECORD_SIZE WRITE before|half|after
// Says of each batch that was acknowledged one byte on its standard output. A
// program of its own, as gRPC's threads do not live through a fork.
#include <sys/prctl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string>
#include <thread>

#include "contract/fault_writer.h"
#include "etcd/grpc/grpc_key_values.h"
#include "ledger/etcd/etcd_log_store.h"
#include "rpc/tls_files.h"

namespace vmattest::testing {
namespace {

// Half of a write: it is under way, and nobody waits for the answer.
constexpr std::chrono::microseconds kUnderWay{700};

class DyingKeyValues final : public etcd::KeyValues {
 public:
  DyingKeyValues(etcd::KeyValues& etcd, long countdown, Cut cut)
      : etcd_(etcd), countdown_(countdown), cut_(cut) {}

  absl::StatusOr<etcd::RangeResult> Range(const etcd::RangeQuery& query,
                                          MonotonicTime deadline) override {
    return etcd_.Range(query, deadline);
  }
  absl::StatusOr<etcd::Outcome> Transact(const etcd::Transaction& transaction,
                                         MonotonicTime deadline) override {
    const bool now = countdown_ > 0 && --countdown_ == 0;
    if (now && cut_ == Cut::kBefore) {
      raise(SIGKILL);
    }
    if (now && cut_ == Cut::kHalf) {
      std::thread([] {
        std::this_thread::sleep_for(kUnderWay);
        raise(SIGKILL);
      }).detach();
    }
    absl::StatusOr<etcd::Outcome> outcome =
        etcd_.Transact(transaction, deadline);
    if (now) {
      raise(SIGKILL);
    }
    return outcome;
  }
  absl::StatusOr<bool> AwaitChange(const std::string& key,
                                   const std::string& end, int64_t revision,
                                   MonotonicTime deadline) override {
    return etcd_.AwaitChange(key, end, revision, deadline);
  }
  absl::StatusOr<int64_t> GrantLease(std::chrono::seconds ttl,
                                     MonotonicTime deadline) override {
    return etcd_.GrantLease(ttl, deadline);
  }
  absl::Status KeepAlive(int64_t lease, MonotonicTime deadline) override {
    return etcd_.KeepAlive(lease, deadline);
  }
  absl::Status RevokeLease(int64_t lease, MonotonicTime deadline) override {
    return etcd_.RevokeLease(lease, deadline);
  }

 private:
  etcd::KeyValues& etcd_;
  long countdown_;  // 0: never
  const Cut cut_;
};

int Main(char** words) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  rpc::DemandTls13();
  etcd::GrpcKeyValues::Options options;
  options.endpoints = {words[1]};
  options.certificate = words[2];
  options.private_key = words[3];
  options.ca = words[4];
  options.allow_unsafe_version = true;
  const auto etcd = etcd::GrpcKeyValues::Create(options);
  if (!etcd.ok()) {
    return kRefused;
  }
  const std::string cut = words[10];
  DyingKeyValues dying(**etcd, std::atol(words[9]),
                       cut == "before" ? Cut::kBefore
                       : cut == "half" ? Cut::kHalf
                                       : Cut::kAfter);
  const auto store = ledger::EtcdLogStore::Open(
      dying, {.prefix = words[5], .lease = std::chrono::seconds(20)});
  return store.ok()
             ? RunAppends(**store,
                          {.batches = std::strtoul(words[6], nullptr, 10),
                           .records = std::strtoul(words[7], nullptr, 10),
                           .record_size = std::strtoul(words[8], nullptr, 10)},
                          STDOUT_FILENO)
             : kRefused;
}

}  // namespace
}  // namespace vmattest::testing

int main(int count, char** words) {
  return count == 11 ? vmattest::testing::Main(words) : EXIT_FAILURE;
}
