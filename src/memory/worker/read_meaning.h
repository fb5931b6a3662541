#ifndef VMATTEST_MEMORY_WORKER_READ_MEANING_H_
#define VMATTEST_MEMORY_WORKER_READ_MEANING_H_

#include <vector>

#include "base/status.h"
#include "memory/guest_meaning.h"
#include "vmattest/internal/worker.pb.h"

namespace vmattest::memory {

// What a worker says about a guest, as values, if it has the form and keeps the
// bounds that an honest one's has: runs lie in `ram` and fill their parts,
// texts are printable and short, words are the known ones. DATA_LOSS: it does
// not; names the element. Pure; any thread.
absl::StatusOr<GuestMeaning> ReadMeaning(
    const internal::WorkerReply::GuestMeaning& message, size_t regions,
    const std::vector<AddressRange>& ram);

// Of two looks at one guest what may be told: as the second, with those
// findings that the first had too; the code hash only if nothing about code
// came or went.
GuestMeaning Confirmed(const GuestMeaning& first, GuestMeaning second);

}  // namespace vmattest::memory

#endif  // VMATTEST_MEMORY_WORKER_READ_MEANING_H_
