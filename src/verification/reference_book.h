#ifndef VMATTEST_VERIFICATION_REFERENCE_BOOK_H_
#define VMATTEST_VERIFICATION_REFERENCE_BOOK_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/current.h"
#include "base/mutex.h"
#include "base/status.h"
#include "document/document.h"
#include "reference/reference.h"
#include "verification/decision_log.h"
#include "verification/lru.h"
#include "verification/verifier_store.h"

namespace vmattest::verification {

// Whose VMs a caller may ask about; called with a lower-case UUID or "*".
using MayVm = std::function<bool(const std::string& vm_uuid)>;

// The reference values that count. Callable from any thread; blocks on the
// store.
class ReferenceBook {
 public:
  struct Parts {
    VerifierStore& store;
    DecisionLog& log;
    const Clock& clock;
    // Whose signature makes a reference.
    const Current<std::vector<document::PublicKey>>& approvers;
  };
  explicit ReferenceBook(Parts parts) : parts_(parts) {}
  ReferenceBook(const ReferenceBook&) = delete;
  ReferenceBook& operator=(const ReferenceBook&) = delete;

  struct Put {
    Verdict verdict;           // of the document's signatures
    ReferenceEntry reference;  // only if trusted
  };
  // INVALID_ARGUMENT: what was signed is no reference, or has run out.
  // PERMISSION_DENIED: it is, or the revision before was, about a VM that the
  // caller may not ask about. FAILED_PRECONDITION: its revision does not grow.
  // ALREADY_EXISTS: one of its VMs has a reference of another name.
  absl::StatusOr<Put> PutDocument(ByteView document, const MayVm& may);

  // Newest revisions by name, those with a VM that the caller may see.
  absl::StatusOr<std::vector<ReferenceEntry>> List(const MayVm& may);
  // `revision` 0: the newest. NOT_FOUND, also for what may not be seen.
  absl::StatusOr<ReferenceEntry> Get(const std::string& name, uint64_t revision,
                                     const MayVm& may);
  // Those that count for a VM at `now`: at most its own and those of "*".
  absl::StatusOr<std::vector<reference::Reference>> For(
      const std::string& vm_uuid, WallTime now);
  // The same as they were signed.
  absl::StatusOr<std::vector<ReferenceEntry>> EntriesFor(
      const std::string& vm_uuid, WallTime now);

  // The signed document's content, or YAML's; for Simulate. The verdict says
  // what is wrong with the signature.
  struct Opened {
    Verdict verdict;
    reference::Reference reference;
  };
  absl::StatusOr<Opened> OpenDocument(ByteView document) const;

 private:
  absl::StatusOr<reference::Reference> Parsed(const ReferenceEntry& entry);
  absl::StatusOr<ReferenceEntry> ToEntry(const document::Opened& opened,
                                         ByteView document) const;

  static constexpr size_t kMostParsed = 512;
  const Parts parts_;
  Mutex mutex_;
  Lru<std::pair<std::string, uint64_t>, reference::Reference> parsed_
      GUARDED_BY(mutex_){kMostParsed};
};

}  // namespace vmattest::verification

#endif  // VMATTEST_VERIFICATION_REFERENCE_BOOK_H_
