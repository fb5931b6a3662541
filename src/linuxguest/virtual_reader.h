#ifndef VMATTEST_LINUXGUEST_VIRTUAL_READER_H_
#define VMATTEST_LINUXGUEST_VIRTUAL_READER_H_

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "linuxguest/page_walk.h"

namespace vmattest::linuxguest {

// Memory as code of one address space sees it. One thread. Errors are
// PhysicalReader's and Translate's.
class VirtualReader {
 public:
  VirtualReader(PhysicalReader& physical, const Paging& paging)
      : physical_(&physical), paging_(paging) {}

  [[nodiscard]] absl::Status Read(uint64_t address, std::span<uint8_t> buffer);
  [[nodiscard]] absl::StatusOr<Bytes> Read(uint64_t address, uint64_t size);
  // `size` is 1 to 8.
  [[nodiscard]] absl::StatusOr<uint64_t> Number(uint64_t address, size_t size);
  [[nodiscard]] absl::StatusOr<uint64_t> Pointer(uint64_t address) {
    return Number(address, 8);
  }
  // Up to the first zero byte, or `most` bytes.
  [[nodiscard]] absl::StatusOr<std::string> Text(uint64_t address, size_t most);

  [[nodiscard]] absl::StatusOr<uint64_t> ToPhysical(uint64_t address);

  // The next read sees the guest as it is then (PhysicalReader::Forget).
  void Forget() {
    known_.clear();
    physical_->Forget();
  }

  [[nodiscard]] PhysicalReader& physical() { return *physical_; }
  [[nodiscard]] const Paging& paging() const { return paging_; }

 private:
  absl::StatusOr<const Mapping*> Find(uint64_t address);

  PhysicalReader* physical_;
  Paging paging_;
  std::unordered_map<uint64_t, Mapping> known_;  // by address of the 4 KiB page
};

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_VIRTUAL_READER_H_
