#ifndef VMATTEST_HOOK_REPLY_CHECK_H_
#define VMATTEST_HOOK_REPLY_CHECK_H_

#include <string>
#include <string_view>

#include "base/clock.h"
#include "gate/protocol/messages.h"
#include "hook/hook_config.h"
#include "vmattest/types/verdict.h"

// What the hook checks itself, however sure the daemon is. Pure; any thread.

namespace vmattest::hook {

// The UUID of the domain in XML as libvirt writes it: its first <uuid>, which
// stands before everything that a domain's author can write freely. Empty if
// there is none.
std::string UuidOf(std::string_view xml);

// Whether the reply is the daemon's, to this call, and (where a verdict is
// what it rests on) the verdict genuine, of this VM and host, affirming, not
// expired, and with this call's nonce unless it is a kept one. A refusal that
// is genuine is trusted here: what to do with it is the reply's matter.
// `deferred` goes for `prepare`, `restore` and `migrate` alone, which `start`
// follows.
// Reason codes: "reply-signature", "reply-basis" (not accepted here, or for
// this operation), "reply-vm", "reply-verdict" (and those of token/ear.h),
// "reply-host".
Verdict CheckReply(const gate::GateCall& call, const gate::GateReply& reply,
                   const HookConfig& config, WallTime now);

}  // namespace vmattest::hook

#endif  // VMATTEST_HOOK_REPLY_CHECK_H_
