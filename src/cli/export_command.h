#ifndef VMATTEST_CLI_EXPORT_COMMAND_H_
#define VMATTEST_CLI_EXPORT_COMMAND_H_

#include <iostream>
#include <optional>
#include <string>

namespace vmattest::cli {

struct ExportArgs {
  std::string file;
  std::string folder;                  // made if it is not there
  std::optional<std::string> anchors;  // folder: host-ak.pem is written too
};

// `vmattest export`: writes evidence as the files of other people's tools, and
// README.txt with the commands that check them.
//   ak.pem quote.msg quote.sig quote.pcrs qualification.hex: tpm2_checkquote
//   certify.msg certify.der host-ak.pem: openssl dgst
//   payload.bin pae.bin: what was signed
// `ak.pem` is the key that made the quote, as tpm2_checkquote calls it; the
// host's AK certified it. Verifies nothing. 0: written. 2: bad arguments,
// unreadable evidence, or the folder cannot be written.
int RunExport(const ExportArgs& args, std::ostream& out = std::cout,
              std::ostream& err = std::cerr);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_EXPORT_COMMAND_H_
