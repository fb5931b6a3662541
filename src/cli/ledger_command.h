#ifndef VMATTEST_CLI_LEDGER_COMMAND_H_
#define VMATTEST_CLI_LEDGER_COMMAND_H_

#include <cstdint>
#include <iostream>
#include <optional>
#include <string>

#include "ledger/tile_directory.h"

namespace vmattest::cli {

// `vmattest ledger ...` over files or a running node (docs/ledger.md). All
// return an exit code (cli/exit_code.h).

struct LedgerAuditArgs {
  std::string folder;                   // of `ledger export`; empty: `live`
  std::string policy;                   // tlog-policy file
  std::string authorities;              // folder of public keys
  std::string owners;                   // the same; empty: nobody
  std::optional<std::string> known;     // a checkpoint that was kept
  std::optional<std::string> fork_out;  // file for the proof of a fork
  bool json = false;
  bool quiet = false;  // no progress
};
// 1: something is not as it must be, each with its element and reason.
int RunLedgerAudit(const LedgerAuditArgs& args, std::ostream& out = std::cout,
                   std::ostream& err = std::cerr,
                   ledger::AuditSource* live = nullptr);

struct LedgerExportArgs {
  // SQLite file of a ledger node that is not running; empty: `live`.
  std::string store;
  std::string folder;  // made by it, or continued
  bool json = false;
  bool quiet = false;
};
int RunLedgerExport(const LedgerExportArgs& args, std::ostream& out = std::cout,
                    std::ostream& err = std::cerr,
                    ledger::AuditSource* live = nullptr);

struct LedgerSignArgs {
  std::string file;  // JSON of a v1.LedgerEntryBody, with what it says alone
  std::string key;   // private key of the Trust Authority, or of an owner
  std::string log;   // the ledger's origin
  uint64_t sequence = 1;  // Ledger/GetWriter's, and one
  std::string previous;   // hex of Ledger/GetWriter's last_hash
  std::string out;
};
// Prints the writer's name and the entry's hash, which the next one follows.
int RunLedgerSign(const LedgerSignArgs& args, std::ostream& out = std::cout,
                  std::ostream& err = std::cerr);

struct LedgerCheckProofArgs {
  std::string file;    // of a witness, an alarm or `ledger audit`
  std::string policy;  // tlog-policy file
  bool json = false;
};
// 0: it proves that the log told two stories. 1: it proves nothing.
int RunLedgerCheckProof(const LedgerCheckProofArgs& args,
                        std::ostream& out = std::cout,
                        std::ostream& err = std::cerr);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_LEDGER_COMMAND_H_
