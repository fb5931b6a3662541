#ifndef VMATTEST_WORKER_MEMORY_VIEW_MEMORY_H_
#define VMATTEST_WORKER_MEMORY_VIEW_MEMORY_H_

#include <utility>
#include <vector>

#include "memory/guest_memory.h"
#include "worker/memory/page_source.h"

namespace vmattest::worker {

// A guest's RAM for whoever looks for meaning in it. What never existed reads
// as zero and is not touched.
class ViewMemory final : public memory::GuestMemory {
 public:
  // `view`'s blocks outlive it; `ram` is where the view's sections are.
  ViewMemory(GuestView view, std::vector<memory::AddressRange> ram)
      : view_(std::move(view)), ram_(std::move(ram)) {}

  [[nodiscard]] const std::vector<memory::AddressRange>& ram() const override {
    return ram_;
  }
  [[nodiscard]] absl::Status ReadAt(uint64_t address,
                                    std::span<uint8_t> buffer) override;

 private:
  const GuestView view_;
  const std::vector<memory::AddressRange> ram_;
};

// The addresses of all sections, which are sorted, merged.
std::vector<memory::AddressRange> RamOf(
    const std::vector<memory::RamSection>& sections);

}  // namespace vmattest::worker

#endif  // VMATTEST_WORKER_MEMORY_VIEW_MEMORY_H_
