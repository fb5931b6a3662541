#ifndef VMATTEST_TESTS_CONTRACT_ETCD_SERVERS_H_
#define VMATTEST_TESTS_CONTRACT_ETCD_SERVERS_H_

#include <memory>

#include "etcd/grpc/grpc_key_values.h"
#include "rpc/tls_files.h"
#include "support/etcd_cluster.h"

namespace vmattest::testing {

// Three etcd servers for all suites of a program.
inline EtcdCluster& Servers() {
  static EtcdCluster cluster;
  return cluster;
}

inline std::unique_ptr<etcd::GrpcKeyValues> ConnectToServers() {
  rpc::DemandTls13();
  return etcd::GrpcKeyValues::Create(Servers().Client()).value();
}

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_CONTRACT_ETCD_SERVERS_H_
