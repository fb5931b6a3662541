#ifndef VMATTEST_CLI_SNAPSHOT_SHOW_H_
#define VMATTEST_CLI_SNAPSHOT_SHOW_H_

#include <iostream>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "evidence/statement.h"

namespace vmattest::cli {

struct SnapshotShowArgs {
  std::string file;   // evidence
  std::string pages;  // as `snapshot get --pages` leaves it; empty: none
  bool records = false;
};

// `vmattest snapshot show`: what a snapshot says, without a look at who signed
// it. With pages: whether they are its own, and the parts they have. 0. 1: they
// are another snapshot's. 2: no such file.
int RunSnapshotShow(const SnapshotShowArgs& args, std::ostream& out = std::cout,
                    std::ostream& err = std::cerr);

// Kernel and findings, one line each: "finding     critical syscall-hooked
// ...".
void PrintFindings(const std::string& semantics, const std::string& release,
                   const std::vector<evidence::StateFinding>& findings,
                   std::ostream& out);
// Name, size and place of a snapshot's parts, at most `most` of each region.
// `pages` are the statement's (snapshot::CheckPages).
void PrintParts(const evidence::SnapshotPages& pages, size_t most,
                std::ostream& out);

// The statement that an evidence file has, believed by nobody.
absl::StatusOr<evidence::StateStatement> StatementOf(ByteView evidence);

// `--pages`: what in that file is not what the statement commits to.
absl::StatusOr<std::vector<std::string>> CheckPagesFile(
    const evidence::StateStatement& statement, const std::string& path);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_SNAPSHOT_SHOW_H_
