#ifndef VMATTEST_EVIDENCE_STATEMENT_H_
#define VMATTEST_EVIDENCE_STATEMENT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "vmattest/types/config_leaf.h"
#include "vmattest/types/tpm.h"

// What is signed, as values; wire/ turns them into bytes and back.

namespace vmattest::evidence {

inline constexpr uint32_t kStatementVersion = 1;
inline constexpr size_t kMinNonceSize = 16;
inline constexpr size_t kMaxNonceSize = 64;

struct StatementHeader {
  uint32_t version = kStatementVersion;
  std::string module_version;
  std::string host_id;
  std::string vm_uuid;
  std::string vm_name;
  Bytes nonce;
  int64_t time_unix_ms = 0;
  TpmClock measured_at;
  std::vector<std::string> signature_algorithms;
  uint64_t sequence = 0;
};

struct CachedContent {
  std::string path;
  int64_t since_unix_ms = 0;
};

struct ConfigStatement {
  StatementHeader header;
  HashAlgorithm algorithm = HashAlgorithm::kSha256;
  uint32_t schema_version = kConfigSchemaVersion;
  uint64_t leaf_count = 0;
  DigestBytes root;
  std::string salt_id;
  std::string content;   // "full", "chain", "none"
  std::string xml_kind;  // "live", "inactive"
  std::string vm_state;
  std::vector<CachedContent> cached;
};

}  // namespace vmattest::evidence

#endif  // VMATTEST_EVIDENCE_STATEMENT_H_
