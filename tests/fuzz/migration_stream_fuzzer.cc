// A guest's saved state: the input is the whole file, with or without libvirt's
// header. The first byte says how it comes apart.

#include <cstdlib>

#include "memory/stream/device_state.h"
#include "memory/stream/saved_state.h"
#include "support/migration_stream.h"

namespace {

using namespace vmattest;          // NOLINT(google-build-using-namespace)
using namespace vmattest::memory;  // NOLINT(google-build-using-namespace)

class Sink final : public RamSink {
 public:
  absl::Status OnBlock(std::string_view name, uint64_t bytes) override {
    Check(!name.empty() && bytes % kPageSize == 0);
    blocks_.push_back(bytes);
    return absl::OkStatus();
  }
  absl::Status OnPage(size_t block, uint64_t offset, ByteView page) override {
    Check(block < blocks_.size() && offset % kPageSize == 0 &&
          offset < blocks_[block] &&
          (page.empty() || page.size() == kPageSize));
    return absl::OkStatus();
  }
  static void Check(bool holds) {
    if (!holds) {
      std::abort();
    }
  }

 private:
  std::vector<uint64_t> blocks_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) {
    return 0;
  }
  Sink sink;
  testing::MemoryStream stream({data + 1, size - 1}, size_t{1} + data[0] * 64U);
  SavedStateLimits limits;
  limits.device_bytes = 1 << 20;
  limits.blocks = 16;
  const absl::StatusOr<SavedState> state = ReadSavedState(stream, sink, limits);
  if (state.ok()) {
    const auto vcpus = ReadVcpuStates(state->devices);
    Sink::Check(!vcpus.ok() || !vcpus->empty());
  }
  return 0;
}
