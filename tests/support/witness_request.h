#ifndef VMATTEST_TESTS_SUPPORT_WITNESS_REQUEST_H_
#define VMATTEST_TESTS_SUPPORT_WITNESS_REQUEST_H_

#include <string>

#include "gmock/gmock.h"
#include "ledger/checkpointer.h"
#include "support/matchers.h"

namespace vmattest::testing {

// What a node asks a witness that holds `old_size` records, about all of `log`
// as it is, in the name of `signer`.
inline ledger::WitnessRequest WitnessRequestFor(ledger::Log& log,
                                                tlog::NoteSigner& signer,
                                                uint64_t old_size = 0) {
  const ledger::LogHead head = log.head();
  tlog::Note note{
      .text = tlog::EncodeCheckpoint(
          {.origin = signer.name(), .size = head.size, .root = head.root})};
  EXPECT_THAT(tlog::AddSignature(note, signer, 0), IsOk());
  tlog::AddCheckpoint asked{.old_size = old_size,
                            .note = tlog::EncodeNote(note)};
  if (old_size > 0 && old_size < head.size) {
    asked.proof = *log.ConsistencyProof(old_size, head.size);
  }
  const auto newest = *log.ReadIncluded(head.size - 1, head.size);
  return {.body = tlog::EncodeAddCheckpoint(asked),
          .newest_record = newest.record_bytes,
          .inclusion_path = newest.path};
}

// The checkpoint in it.
inline std::string NoteOf(const ledger::WitnessRequest& request) {
  return tlog::ParseAddCheckpoint(request.body)->note;
}

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_WITNESS_REQUEST_H_
