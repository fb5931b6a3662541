#ifndef VMATTEST_LINUXGUEST_BTF_H_
#define VMATTEST_LINUXGUEST_BTF_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace vmattest::linuxguest {

// A member of a structure, at any depth.
struct Field {
  uint64_t offset = 0;  // in bytes
  uint64_t size = 0;
};

// Layouts of structures, from the BTF of a kernel (Linux
// Documentation/bpf/btf.rst). Immutable.
class Btf {
 public:
  // Takes the section's bytes. DATA_LOSS: they are no BTF; says which part.
  static absl::StatusOr<Btf> Parse(Bytes section);

  // `path` names members with dots between: "core_layout.base". Members of
  // members without a name count as the structure's own.
  //   NOT_FOUND: no such structure, or no such member.
  [[nodiscard]] absl::StatusOr<Field> Member(std::string_view structure,
                                             std::string_view path) const;
  [[nodiscard]] absl::StatusOr<uint64_t> Size(std::string_view structure) const;
  // The value of an enumerator. NOT_FOUND.
  [[nodiscard]] absl::StatusOr<uint64_t> Enumerator(
      std::string_view name) const;
  [[nodiscard]] size_t types() const { return offsets_.size() - 1; }

 private:
  struct Found {
    Field field;
    uint32_t type = 0;
  };
  explicit Btf(Bytes section) : section_(std::move(section)) {}

  [[nodiscard]] uint64_t Word(uint32_t type, size_t word) const;
  [[nodiscard]] std::string_view Text(uint64_t offset) const;
  [[nodiscard]] uint32_t Resolve(uint32_t type) const;
  [[nodiscard]] uint64_t SizeOf(uint32_t type, int depth) const;
  [[nodiscard]] bool FindMember(uint32_t type, std::string_view name, int depth,
                                Found& found) const;
  absl::Status IndexTypes();

  Bytes section_;
  size_t types_begin_ = 0, types_end_ = 0;
  size_t text_begin_ = 0, text_end_ = 0;
  std::vector<uint32_t> offsets_;  // by type id, from types_begin_
  std::unordered_map<std::string_view, uint32_t> structures_;
};

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_BTF_H_
