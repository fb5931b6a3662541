#ifndef VMATTEST_WORKER_MEMORY_MEANING_REPLY_H_
#define VMATTEST_WORKER_MEMORY_MEANING_REPLY_H_

#include <string>
#include <string_view>
#include <vector>

#include "linuxguest/finding.h"
#include "linuxguest/records.h"
#include "linuxguest/regions.h"
#include "vmattest/internal/worker.pb.h"

// What was found in a guest, as messages: bounded, and all text printable.
// Pure; any thread.

namespace vmattest::worker {

using MeaningReply = internal::WorkerReply::GuestMeaning;

inline constexpr size_t kMaxMeaningText = 256;
inline constexpr size_t kMaxRecordText = 4096;

// Printable ASCII: other bytes and backslashes as "\xNN"; cut, with "...".
std::string Printable(std::string_view text, size_t most = kMaxMeaningText);

// Critical ones first. Those past 128 are counted in a note.
void AddFindings(linuxguest::Findings findings, MeaningReply& reply);

// Records about processes only with `fields` of theirs. Sorted by name. What
// is past 16 MiB is left out, with a note.
void AddRecords(const std::vector<linuxguest::Record>& records,
                const std::vector<std::string>& fields, MeaningReply& reply);

// By name, then address. False, and nothing added: more than 65,536 parts or
// 262,144 runs in all of the reply.
bool AddParts(const std::vector<linuxguest::Region>& found, MeaningReply& reply,
              internal::WorkerReply::MeantRegion& region);

}  // namespace vmattest::worker

#endif  // VMATTEST_WORKER_MEMORY_MEANING_REPLY_H_
