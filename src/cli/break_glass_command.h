#ifndef VMATTEST_CLI_BREAK_GLASS_COMMAND_H_
#define VMATTEST_CLI_BREAK_GLASS_COMMAND_H_

#include <cstdint>
#include <iostream>
#include <string>

namespace vmattest::cli {

struct BreakGlassArgs {
  std::string vm;  // UUID
  std::string host_id;
  std::string reason;
  uint32_t minutes = 30;
  std::string key;  // an approver's private key file
  std::string out;
};

// `vmattest break-glass`: signs an order for the launch gate (docs/gate.md).
// Without a daemon. 0: written. 2: usage, or a key that cannot be used. 3: it
// could not be signed or written.
int RunBreakGlass(const BreakGlassArgs& args, std::ostream& out = std::cout,
                  std::ostream& err = std::cerr);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_BREAK_GLASS_COMMAND_H_
