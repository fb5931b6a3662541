#ifndef VMATTEST_CLI_VERIFY_COMMAND_H_
#define VMATTEST_CLI_VERIFY_COMMAND_H_

#include <chrono>
#include <cstdint>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

namespace vmattest::cli {

struct VerifyArgs {
  std::string file;
  std::string anchors;                // folder of host identities
  std::optional<std::string> nonce;   // hex
  std::optional<std::string> expect;  // as cli/reference.h has it
  // A signed reference document, and the folder of who may sign one: they take
  // the place of all demands but nonce, age and VM.
  std::optional<std::string> reference;
  std::optional<std::string> approvers;
  std::vector<std::string> require;  // signature algorithms beyond the quote
  std::optional<std::chrono::seconds> max_age;
  std::optional<std::string> vm;  // UUID
  bool fresh = false;             // refuse digests from the cache
  bool refuse_unavailable = false;
  std::optional<uint64_t> max_unmanaged;
  // Of a memory snapshot: "ID@VERSION" or "ID@VERSION=HEX", its policy; none:
  // any.
  std::vector<std::string> subsets;
  std::string min_consistency = "live";
  std::string pages;  // file of its page digests; empty: not checked
  std::optional<std::string> kernel_build_id;  // hex
  std::optional<std::string> code_hash;        // hex
  std::string refuse_findings;                 // a severity; empty: none
  bool json = false;
};

// `vmattest verify`: appraises an evidence file (of a configuration or of
// memory), or a disclosure, offline and prints what it says, for people or as
// one JSON object. 0: trusted. 1: not trustworthy, with the reasons. 2: bad
// arguments or unreadable input. 3: no anchors, or no reference that an
// approver signed: nothing can be decided.
int RunVerify(const VerifyArgs& args, std::ostream& out = std::cout,
              std::ostream& err = std::cerr);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_VERIFY_COMMAND_H_
