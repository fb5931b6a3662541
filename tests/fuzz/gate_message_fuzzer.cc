#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "gate/protocol/messages.h"
#include "hook/hook_config.h"
#include "hook/reply_check.h"

// The hook's call as the daemon reads it, the daemon's reply as the hook does,
// and the hook's own file. What parses comes back from its own bytes.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using vmattest::ByteView;
  const ByteView bytes(data, size);
  if (const auto call = vmattest::gate::ParseCall(bytes); call.ok()) {
    const auto again = vmattest::gate::ParseCall(vmattest::gate::Encode(*call));
    if (!again.ok() || again->xml != call->xml) {
      std::abort();
    }
    (void)vmattest::hook::UuidOf(call->xml);
  }
  if (const auto reply = vmattest::gate::ParseReply(bytes); reply.ok()) {
    const vmattest::hook::HookConfig nobody;
    if (vmattest::hook::CheckReply({}, *reply, nobody, {}).trusted()) {
      std::abort();
    }
  }
  (void)vmattest::hook::UuidOf(vmattest::AsText(bytes));
  vmattest::hook::ParseHookConfig(vmattest::AsText(bytes))
      .status()
      .IgnoreError();
  return 0;
}
