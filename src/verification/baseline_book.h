#ifndef VMATTEST_VERIFICATION_BASELINE_BOOK_H_
#define VMATTEST_VERIFICATION_BASELINE_BOOK_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/current.h"
#include "base/mutex.h"
#include "baseline/baseline.h"
#include "document/document.h"
#include "verification/decision_log.h"
#include "verification/lru.h"
#include "verification/reference_book.h"
#include "verification/verifier_store.h"

namespace vmattest::verification {

// The baselines that count. Callable from any thread; blocks on the store.
class BaselineBook {
 public:
  struct Parts {
    VerifierStore& store;
    DecisionLog& log;
    const Clock& clock;
    // Whose signature makes a baseline.
    const Current<std::vector<document::PublicKey>>& approvers;
  };
  explicit BaselineBook(const Parts& parts) : parts_(parts) {}
  BaselineBook(const BaselineBook&) = delete;
  BaselineBook& operator=(const BaselineBook&) = delete;

  struct Put {
    Verdict verdict;         // of the document's signatures
    BaselineEntry baseline;  // only if trusted
  };
  // INVALID_ARGUMENT: what was signed is no baseline, has run out, or goes with
  // other pages. PERMISSION_DENIED: it is, or the revision before was, about a
  // VM that the caller may not ask about. FAILED_PRECONDITION: its revision
  // does not grow. ALREADY_EXISTS: one of its VMs has another baseline of that
  // subset.
  absl::StatusOr<Put> PutDocument(ByteView document, const Bytes& pages,
                                  const MayVm& may);

  // Newest revisions by name, those with a VM that the caller may see.
  absl::StatusOr<std::vector<BaselineEntry>> List(const MayVm& may);
  // `revision` 0: the newest. NOT_FOUND, also for what may not be seen.
  absl::StatusOr<BaselineEntry> Get(const std::string& name, uint64_t revision,
                                    const MayVm& may);
  absl::StatusOr<Bytes> Pages(const BaselineEntry& entry) {
    return parts_.store.BaselinePages(entry.name, entry.revision);
  }

  // That of the VM and subset, or else of "*", which is valid now and whose
  // approver is still one. Null: none. DATA_LOSS: its pages are damaged.
  absl::StatusOr<std::shared_ptr<const baseline::LoadedBaseline>> For(
      const std::string& vm_uuid, const std::string& subset);

 private:
  using Loaded = std::shared_ptr<const baseline::LoadedBaseline>;
  absl::StatusOr<BaselineEntry> ToEntry(const document::Opened& opened,
                                        ByteView document,
                                        const Bytes& pages) const;
  absl::StatusOr<Loaded> Load(const BaselineEntry& entry);

  // Each has up to twice baseline::kMaxPages.
  static constexpr size_t kMostLoaded = 8;
  const Parts parts_;
  Mutex mutex_;
  Lru<std::pair<std::string, uint64_t>, Loaded> loaded_ GUARDED_BY(mutex_){
      kMostLoaded};
};

}  // namespace vmattest::verification

#endif  // VMATTEST_VERIFICATION_BASELINE_BOOK_H_
