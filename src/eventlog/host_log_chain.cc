#include "eventlog/host_log_chain.h"

#include "crypto/digest.h"

namespace vmattest::eventlog {

void LogHead::Extend(ByteView record_digest) {
  head = HashParts(HashAlgorithm::kSha256, {head, record_digest});
  ++size;
}

DigestBytes ExtendPcr(HashAlgorithm bank, ByteView pcr, ByteView digest) {
  return HashParts(bank, {pcr, digest});
}

}  // namespace vmattest::eventlog
