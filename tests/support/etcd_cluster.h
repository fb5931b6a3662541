#ifndef VMATTEST_TESTS_SUPPORT_ETCD_CLUSTER_H_
#define VMATTEST_TESTS_SUPPORT_ETCD_CLUSTER_H_

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "etcd/grpc/grpc_key_values.h"
#include "support/temp_dir.h"
#include "support/test_pki.h"

namespace vmattest::testing {

// Real etcd servers (Debian's package) in a folder of their own, mutual TLS,
// authentication on: user "ledger" may read and write below "/vmattest/", user
// "reader" may read there, "root" may all. Throws if they do not start. End
// with the object. One thread.
class EtcdCluster {
 public:
  struct Options {
    size_t nodes = 3;
    // Of the data; empty: a folder of its own.
    std::filesystem::path data;
    std::vector<std::string> arguments;  // more, for each node
  };
  EtcdCluster() : EtcdCluster(Options{}) {}
  explicit EtcdCluster(const Options& options);
  EtcdCluster(const EtcdCluster&) = delete;
  EtcdCluster& operator=(const EtcdCluster&) = delete;
  ~EtcdCluster();

  [[nodiscard]] size_t size() const { return nodes_.size(); }
  void Kill(size_t node);      // SIGKILL
  void Pause(size_t node);     // SIGSTOP
  void Continue(size_t node);  // SIGCONT
  // After Kill().
  void Start(size_t node);
  // Of those that start from now on, instead of Options::arguments.
  void SetArguments(std::vector<std::string> arguments) {
    options_.arguments = std::move(arguments);
  }
  // Until each node answers, or those given.
  void AwaitHealthy();
  // Which node leads.
  [[nodiscard]] size_t Leader() const;

  // All leases run out now.
  void ExpireLeases();

  // Every data directory as it is now, of a cluster that was killed, beside
  // the data; and back.
  void SaveData();
  void RollBackData();

  // As user "ledger", to all nodes.
  [[nodiscard]] etcd::GrpcKeyValues::Options Client(
      const std::string& user = "ledger");
  [[nodiscard]] std::string endpoint(size_t node) const;
  [[nodiscard]] CertificateFiles Certificate(const std::string& user);
  [[nodiscard]] std::filesystem::path ca() const { return pki_.ca(); }
  // etcdctl as root; its output. Throws if it fails.
  std::string Etcdctl(const std::vector<std::string>& words) const;
  [[nodiscard]] std::string log(size_t node) const;

 private:
  struct Node {
    uint16_t client_port = 0;
    uint16_t peer_port = 0;
    pid_t pid = -1;
    bool began = false;
  };
  void EnableUsers();
  [[nodiscard]] std::filesystem::path DataOf(size_t node) const;

  TempDir dir_;
  TestPki pki_;
  Options options_;
  std::filesystem::path data_;
  CertificateFiles server_;
  CertificateFiles root_;
  std::vector<Node> nodes_;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_ETCD_CLUSTER_H_
