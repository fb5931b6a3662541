#include "cli/connection_options.h"

#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "fmt/format.h"

namespace vmattest::cli {

void AddConnectionOptions(CLI::App& app, const ConnectionNames& names,
                          ConnectionArgs& args) {
  const std::string group = fmt::format("Where the {} is", names.server);
  app.add_option(names.socket_option, args.socket, "Unix socket")
      ->capture_default_str()
      ->envname(names.socket_environment)
      ->group(group);
  app.add_option(names.address_option, args.address,
                 "HOST:PORT instead, with mutual TLS")
      ->group(group);
  app.add_option("--cert", args.certificate, "PEM certificate of this client")
      ->group(group);
  app.add_option("--key", args.private_key, "its PEM key")->group(group);
  app.add_option(
         "--ca", args.authority,
         fmt::format("PEM authorities that vouch for the {}", names.server))
      ->group(group);
  app.add_option_function<int>(
         "--timeout",
         [&args](int seconds) { args.timeout = std::chrono::seconds(seconds); },
         "seconds that a call may take")
      ->check(CLI::PositiveNumber)
      ->group(group);
}

}  // namespace vmattest::cli
