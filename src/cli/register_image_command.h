#ifndef VMATTEST_CLI_REGISTER_IMAGE_COMMAND_H_
#define VMATTEST_CLI_REGISTER_IMAGE_COMMAND_H_

#include <cstdint>
#include <iostream>
#include <string>

namespace vmattest::cli {

struct RegisterImageArgs {
  std::string domain;  // name or UUID
  std::string file;
  std::string hook_socket = "/run/vmattest/hook.sock";
  uint32_t timeout_seconds = 600;  // a large image takes its time to read
};

// `vmattest gate register-image`: tells the launch gate which file a VM was
// saved to (virsh save), so that it may be restored from there. As root, and
// before the file is copied or renamed. The daemon reads the file through the
// descriptor that it gets. 0: registered. 1: refused, with the reason. 2: no
// such file. 3: no daemon.
int RunRegisterImage(const RegisterImageArgs& args,
                     std::ostream& out = std::cout,
                     std::ostream& err = std::cerr);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_REGISTER_IMAGE_COMMAND_H_
