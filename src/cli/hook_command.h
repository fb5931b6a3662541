#ifndef VMATTEST_CLI_HOOK_COMMAND_H_
#define VMATTEST_CLI_HOOK_COMMAND_H_

#include <chrono>
#include <cstdint>
#include <iostream>
#include <string>

namespace vmattest::cli {

struct HookArgs {
  enum class Action : uint8_t { kInstall, kStatus, kUninstall };
  Action action = Action::kStatus;
  std::string state_dir = "/var/lib/vmattest";  // the daemon's
  std::string hooks_dir = "/etc/libvirt/hooks";
  std::string program;  // vmattest-hook; empty: beside this program
  // Of install; empty: as it was, or "deny".
  std::string when_unavailable;
  // Of install: for a daemon that was just started to reach its TPM.
  std::chrono::seconds wait{30};
};

// `vmattest hook`: puts the launch gate's hook where libvirt looks for it, with
// the keys that the daemon left in its state folder. Works on files alone; as
// root. 0: done, or in order. 1 (status): not in order. 2: usage, or the daemon
// has not left its keys yet. 3: not possible.
int RunHook(const HookArgs& args, std::ostream& out = std::cout);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_HOOK_COMMAND_H_
