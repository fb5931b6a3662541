#ifndef VMATTEST_CLI_TRUST_COMMAND_H_
#define VMATTEST_CLI_TRUST_COMMAND_H_

#include <cstdint>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "cli/connection.h"

namespace vmattest::cli {

// What is asked of a ledger over gRPC: a host's socket, or a node's. All return
// an exit code (cli/exit_code.h).

struct TrustArgs {
  ConnectionArgs connection;
  std::string vm;      // UUID
  std::string policy;  // tlog-policy file; empty: the proof is not checked
  // Seconds, of the quorum's cosignatures, if the policy asks for any.
  uint32_t max_age = 60;
  bool json = false;
};
// `vmattest trust`: score, how it came about, the newest entry and its proof,
// checked here against the policy. 1: the proof is not one.
int RunTrust(const TrustArgs& args, std::ostream& out = std::cout,
             std::ostream& err = std::cerr);

// Entries of the Trust Authority's or an owner's, signed here and sent.
struct LedgerWriteArgs {
  ConnectionArgs connection;
  std::string key;   // private key file
  std::string log;   // the ledger's origin; empty: as its checkpoint says
  std::string file;  // JSON, as of LedgerSignArgs
};
int RunLedgerWrite(const LedgerWriteArgs& args, std::ostream& out = std::cout,
                   std::ostream& err = std::cerr);

struct LedgerRegisterArgs {
  ConnectionArgs connection;
  std::string key;
  std::string log;
  std::string vm;  // UUID
  std::string owner;
  std::string home;  // a host's id, "-": none; empty: as it is
  // Rule S31: what the VM stays itself by under another UUID. Hex of its vTPM's
  // EK fingerprint; any name of its disks' lineage. Empty: not bound.
  std::string ek;
  std::string lineage;
};
int RunLedgerRegister(const LedgerRegisterArgs& args,
                      std::ostream& out = std::cout,
                      std::ostream& err = std::cerr);

struct LedgerPolicyArgs {
  ConnectionArgs connection;
  std::string key;
  std::string log;
  uint32_t rules = 1;                // a shipped version of the score
  std::vector<std::string> weights;  // "REASON=POINTS"
};
int RunLedgerPolicy(const LedgerPolicyArgs& args, std::ostream& out = std::cout,
                    std::ostream& err = std::cerr);

// Rule S33: signs for a host's ledger key only after the evidence of its TPM
// was checked here, and binds that evidence by its hash. The first key of a
// host is a host-authorise entry, another one a key-delegate.
struct LedgerAuthoriseArgs {
  ConnectionArgs connection;
  std::string key;
  std::string log;
  std::string evidence;  // host-key.evidence of that host
  std::string anchors;   // folder of host identities
  uint32_t days = 0;     // that the key holds; 0: until another takes its place
  uint32_t max_age_hours = 24;  // of the evidence
  std::string witness_vkey;
};
int RunLedgerAuthorise(const LedgerAuthoriseArgs& args,
                       std::ostream& out = std::cout,
                       std::ostream& err = std::cerr);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_TRUST_COMMAND_H_
