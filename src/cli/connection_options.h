#ifndef VMATTEST_CLI_CONNECTION_OPTIONS_H_
#define VMATTEST_CLI_CONNECTION_OPTIONS_H_

#include "CLI/App.hpp"
#include "cli/connection.h"

namespace vmattest::cli {

struct ConnectionNames {
  const char* server;  // "daemon"
  const char* socket_option;
  const char* socket_environment;
  const char* address_option;
};

// The options of how to reach a server. `args` outlives `app`.
void AddConnectionOptions(CLI::App& app, const ConnectionNames& names,
                          ConnectionArgs& args);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_CONNECTION_OPTIONS_H_
