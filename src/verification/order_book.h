#ifndef VMATTEST_VERIFICATION_ORDER_BOOK_H_
#define VMATTEST_VERIFICATION_ORDER_BOOK_H_

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/current.h"
#include "base/status.h"
#include "document/document.h"
#include "verification/decision_log.h"
#include "verification/reference_book.h"
#include "verification/verifier_store.h"

namespace vmattest::verification {

// Break-glass orders on their way to the hosts that they are for. They change
// no decision of this verifier: the host that uses one says so in its event
// log. Callable from any thread; blocks on the store.
class OrderBook {
 public:
  struct Parts {
    VerifierStore& store;
    DecisionLog& log;
    const Clock& clock;
    // Whose signature makes an order.
    const Current<std::vector<document::PublicKey>>& approvers;
  };
  explicit OrderBook(Parts parts) : parts_(parts) {}
  OrderBook(const OrderBook&) = delete;
  OrderBook& operator=(const OrderBook&) = delete;

  static constexpr size_t kMaxOrderSize = 64u << 10;
  static constexpr size_t kMostOfHost = 100;  // that have not run out

  struct Put {
    Verdict verdict;        // of the document's signatures
    BreakGlassEntry order;  // only if trusted
  };
  // INVALID_ARGUMENT: what was signed is no order, or has run out.
  // PERMISSION_DENIED: it is about a VM that the caller may not ask about.
  // ALREADY_EXISTS: its serial is known. RESOURCE_EXHAUSTED: too many wait for
  // that host.
  absl::StatusOr<Put> PutDocument(ByteView document, const MayVm& may);
  // As they were signed.
  absl::StatusOr<std::vector<Bytes>> ForHost(const std::string& host_id);

 private:
  const Parts parts_;
};

}  // namespace vmattest::verification

#endif  // VMATTEST_VERIFICATION_ORDER_BOOK_H_
