#ifndef VMATTEST_CLI_BASELINE_COMMAND_H_
#define VMATTEST_CLI_BASELINE_COMMAND_H_

#include <ostream>
#include <string>
#include <vector>

#include "cli/verifier_connection.h"

namespace vmattest::cli {

// `vmattest baseline ...`: baselines of memory, from a snapshot to a verifier.
struct BaselineArgs {
  enum class Action {
    kSet,      // snapshot -> draft
    kApprove,  // draft -> document
    kShow,     // draft or document
    kImport,   // document and pages -> verifier
    kList,     // of a verifier
    kExport,   // verifier -> document and pages
    kCompare,  // baseline against snapshot, here
    kReport,   // what a guest says of itself -> guest report
  };
  Action action = Action::kList;
  VerifierArgs connection;
  bool json = false;
  std::string file;   // evidence, draft or document
  std::string pages;  // of the snapshot, or of the baseline
  std::string name;
  std::vector<std::string> vms;
  uint64_t revision = 0;
  std::vector<std::string> without;
  bool accept_findings = false;
  uint32_t min_score = 90;
  std::string key;
  std::string approvers;
  uint32_t days = 365;
  std::string out;
  std::string out_pages;
  std::string evidence;        // kCompare: of the snapshot
  std::string snapshot_pages;  // kCompare
  // kCompare, with what the guest says: the report, and the snapshot before it;
  // the report before that, if there is one.
  std::string guest_report;
  std::string earlier;
  std::string earlier_pages;
  std::string earlier_report;
  // kReport: files as the guest writes them; empty: not told.
  std::string modules;
  std::string tasks;
  std::string release;
  std::string cmdline;
};

// Exit code; kExitNotTrustworthy: kCompare found less than the baseline
// demands.
int RunBaseline(const BaselineArgs& args, std::ostream& out);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_BASELINE_COMMAND_H_
