// A damaged or hostile stored state of a ledger, one item of it: refused, or
// it is the state that its own items give again.

#include <cstdlib>
#include <string>

#include "ledger/log_state.h"

namespace vmattest::ledger {
namespace {

// A byte of length, the key, the value.
void Run(ByteView bytes) {
  if (bytes.empty() || bytes[0] >= bytes.size()) {
    return;
  }
  const std::string key(AsText(bytes.subspan(1, bytes[0])));
  LogState state({.origin = "fuzzer"});
  if (!state.Restore(1, {{key, ToBytes(bytes.subspan(1 + bytes[0]))}}).ok()) {
    return;
  }
  LogState again({.origin = "fuzzer"});
  if (!again.Restore(1, state.Items()).ok() || again.Items() != state.Items()) {
    std::abort();
  }
}

}  // namespace
}  // namespace vmattest::ledger

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vmattest::ledger::Run({data, size});
  return 0;
}
