#ifndef VMATTEST_CLI_MEASURE_COMMAND_H_
#define VMATTEST_CLI_MEASURE_COMMAND_H_

#include <iostream>
#include <string>

namespace vmattest::cli {

struct MeasureArgs {
  std::string xml_path;            // "-" is standard input
  std::string defined_xml_path;    // of a running domain: its stored definition
  std::string start_command_path;  // of virsh domxml-to-native qemu-argv
  std::string content = "full";
  std::string inside = "none";
  std::string worker;  // path of vmattest-worker; empty: as it is installed
  std::string algorithm = "sha256";
  std::string salt_path;  // the VM's salt, 32 bytes or hex; empty: public
  bool json = false;
  bool quiet = false;  // no progress, no warnings
};

// `vmattest measure`: measures a domain XML file with no daemon and prints its
// leaves and root, for people or as one JSON object. Progress goes to `err`
// when standard error is a terminal. 0: measured. 2: bad arguments, unreadable
// or invalid XML. 3: a file that the XML refers to cannot be read, or there is
// no worker to look into disks.
int RunMeasure(const MeasureArgs& args, std::ostream& out = std::cout,
               std::ostream& err = std::cerr);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_MEASURE_COMMAND_H_
