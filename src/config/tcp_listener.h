#ifndef VMATTEST_CONFIG_TCP_LISTENER_H_
#define VMATTEST_CONFIG_TCP_LISTENER_H_

#include <filesystem>
#include <string>
#include <vector>

#include "base/uuid.h"

// Who may connect over TCP, and as what: of every daemon.

namespace vmattest::config {

struct ClientGrant {
  std::string identity;  // URI SAN of the client's certificate
  std::string role;      // one of those that the daemon gives: "read", "host"
  bool all_vms = false;
  std::vector<Uuid> vms;  // unless all; of a host none
};

struct TcpListener {
  std::string address;  // host:port
  std::filesystem::path certificate;
  std::filesystem::path private_key;
  std::filesystem::path client_ca;
  std::vector<ClientGrant> clients;
};

}  // namespace vmattest::config

#endif  // VMATTEST_CONFIG_TCP_LISTENER_H_
