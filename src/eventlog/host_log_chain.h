#ifndef VMATTEST_EVENTLOG_HOST_LOG_CHAIN_H_
#define VMATTEST_EVENTLOG_HOST_LOG_CHAIN_H_

#include <cstdint>

#include "base/bytes.h"
#include "vmattest/types/digest.h"

// The two numbers that say what the host event log is (rule S1). Pure.

namespace vmattest::eventlog {

// Over all records ever, across boots: head_0 is 32 zero bytes, head_n =
// SHA-256(head_(n-1) || digest of record n). Written to the NV index.
struct LogHead {
  uint64_t size = 0;
  DigestBytes head = DigestBytes(32, 0);

  void Extend(ByteView record_digest);
  friend bool operator==(const LogHead&, const LogHead&) = default;
};

// The log PCR after one more record of this boot, in a bank's algorithm: TPM
// 2.0 Part 1, section 17.2.
DigestBytes ExtendPcr(HashAlgorithm bank, ByteView pcr, ByteView digest);

}  // namespace vmattest::eventlog

#endif  // VMATTEST_EVENTLOG_HOST_LOG_CHAIN_H_
