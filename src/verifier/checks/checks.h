#ifndef VMATTEST_VERIFIER_CHECKS_CHECKS_H_
#define VMATTEST_VERIFIER_CHECKS_CHECKS_H_

#include "base/bytes.h"
#include "verifier/context.h"

// One function a file, in the order in which they run. Each is pure, looks
// only at the context, and relies on the ones before it.

namespace vmattest::verifier {

// Parses everything there is and fills `context`; the envelope's signatures
// are those that the statement lists, no more, no fewer, in its order.
CheckResult CheckStructure(ByteView bytes, Context& context);
// Anchor -> AK -> purpose key (rule S2) -> quote.
CheckResult CheckKeyChain(const Context& context);
// The post-quantum signature over the envelope, by a key that the anchors list
// for this purpose and epoch (rules S2, S4). Without an ML-DSA in this process
// it passes unchecked, unless the policy requires it.
CheckResult CheckPqSignature(Context& context);
// The TPM itself made the quote, and this key asked for it.
CheckResult CheckQuoteStructure(const Context& context);
// One measured bank, every selected value, the required ones (rule S9).
CheckResult CheckPcrs(const Context& context);
// Measured and quoted in one life of the TPM, not too far apart (S6, S8).
CheckResult CheckClock(const Context& context);
CheckResult CheckNonce(const Context& context);
CheckResult CheckTimeWindow(const Context& context);
// The envelope is in the batch whose root the TPM quoted.
CheckResult CheckBatch(const Context& context);
// The statement's fields, and the leaves under its root.
CheckResult CheckStatement(const Context& context);
// The fields of a host-log statement; CheckStatement calls it for those.
CheckResult CheckHostLogStatement(const Context& context);
// The fields of a state statement and its root; CheckStatement calls it.
CheckResult CheckStateStatement(const Context& context);
// The fields of a ledger-key statement; CheckStatement calls it.
CheckResult CheckLedgerKeyStatement(const Context& context);
// In place of all leaves those of a disclosure; CheckStatement calls it.
CheckResult CheckDisclosedLeaves(const Context& context);
// What the caller demands of any VM's evidence.
std::vector<Reason> HostDemands(const Context& context);
// What the caller demands; gives every reason, not only the first.
CheckResult CheckPolicy(const Context& context);

}  // namespace vmattest::verifier

#endif  // VMATTEST_VERIFIER_CHECKS_CHECKS_H_
