#ifndef VMATTEST_CLI_INVENTORY_COMMANDS_H_
#define VMATTEST_CLI_INVENTORY_COMMANDS_H_

#include <cstdint>
#include <iostream>
#include <string>

#include "cli/connection.h"

// What the daemon knows, for people or, with `json`, one JSON object a line as
// protobuf prints it.

namespace vmattest::cli {

struct ListArgs {
  ConnectionArgs connection;
  bool json = false;
};
// `vmattest list`.
int RunList(const ListArgs& args, std::ostream& out = std::cout);

struct WatchArgs {
  ConnectionArgs connection;
  uint64_t after = 0;
  std::string vm;
  uint64_t count = 0;  // 0: until interrupted
  bool json = false;
};
// `vmattest watch`.
int RunWatch(const WatchArgs& args, std::ostream& out = std::cout);

struct StatusArgs {
  ConnectionArgs connection;
  bool json = false;
};
// `vmattest status`: 3 unless every component serves. Admin socket, or a
// client with role admin.
int RunStatus(const StatusArgs& args, std::ostream& out = std::cout);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_INVENTORY_COMMANDS_H_
