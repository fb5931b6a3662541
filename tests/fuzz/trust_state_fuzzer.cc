// A damaged or hostile cache of derived state: refused, or what was written.

#include <cstdlib>

#include "trust/state_codec.h"

namespace vmattest::trust {
namespace {

template <class State>
void Again(const absl::StatusOr<State>& state, ByteView bytes,
           Bytes (*encode)(const State&)) {
  if (state.ok() && AsText(encode(*state)) != AsText(bytes)) {
    std::abort();
  }
}

void Run(ByteView bytes) {
  Again(ParseVmState(bytes), bytes, &EncodeVmState);
  Again(ParseHostState(bytes), bytes, &EncodeHostState);
  Again(ParseFoldState(bytes), bytes, &EncodeFoldState);
}

}  // namespace
}  // namespace vmattest::trust

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vmattest::trust::Run({data, size});
  return 0;
}
