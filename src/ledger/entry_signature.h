#ifndef VMATTEST_LEDGER_ENTRY_SIGNATURE_H_
#define VMATTEST_LEDGER_ENTRY_SIGNATURE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "crypto/ecdsa.h"
#include "document/document.h"
#include "ledger/entry.h"
#include "vmattest/types/verdict.h"

namespace vmattest::ledger {

// Who may sign what by document. Configuration, of readers too.
struct LogPolicy {
  std::string origin;
  std::vector<document::PublicKey> authorities;
  // May register VMs as their owner, under the key's name.
  std::vector<document::PublicKey> owners;
  // A writer's clock may be ahead of ledger time by so much (rule S30). Older
  // entries are taken, but their passes count for nothing.
  int64_t max_skew_ms = 60'000;
};

// Who signed an entry, as the log knew it when KeyFor() was asked.
struct WriterKey {
  std::shared_ptr<const EcVerifier> host;  // null: no such host
  uint64_t generation = 0;
};

// Of a `key_spki` field: null unless it is a P-256 key.
std::shared_ptr<const EcVerifier> ImportWriterKey(const std::string& spki);

// Slow: one or two signatures. Refuses unless `entry` is signed by `key`, or is
// a document by somebody who may sign it. Callable from any thread.
std::optional<Reason> CheckSignature(const LogPolicy& policy,
                                     const Entry& entry, const WriterKey& key);

}  // namespace vmattest::ledger

#endif  // VMATTEST_LEDGER_ENTRY_SIGNATURE_H_
