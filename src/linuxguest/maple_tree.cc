#include "linuxguest/maple_tree.h"

#include <fmt/format.h>

namespace vmattest::linuxguest {
namespace {

constexpr uint64_t kNodeMask = 0xff;
constexpr int kMostDepth = 16;
constexpr size_t kMostNodes = 1 << 16;

// enum maple_type, in bits 3 to 6 of a pointer to a node.
enum NodeType : uint64_t { kLeaf64 = 1, kRange64 = 2, kArange64 = 3 };

// xa_is_node: an internal entry that is no small number.
bool IsNode(uint64_t entry) { return (entry & 3) == 2 && entry > 4096; }

class Reader {
 public:
  Reader(Kernel& kernel, size_t most, MapleEntries& out)
      : kernel_(kernel), most_(most), out_(out) {}

  absl::Status Entry(uint64_t entry, int depth, uint64_t max) {
    if (!out_.problem.empty() || entry == 0) {
      return absl::OkStatus();
    }
    if (IsNode(entry)) {
      return Node(entry, depth, max);
    }
    if (out_.entries.size() >= most_) {
      out_.problem = fmt::format("more than {} entries", most_);
    } else if (out_.entries.empty() || out_.entries.back() != entry) {
      out_.entries.push_back(entry);
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Node(uint64_t entry, int depth, uint64_t max) {
    const uint64_t type = entry >> 3 & 0xf;
    const char* layout =
        type == kArange64 ? "maple_arange_64" : "maple_range_64";
    if (depth > kMostDepth || ++nodes_ > kMostNodes || type < kLeaf64 ||
        type > kArange64) {
      out_.problem = fmt::format("a node of type {}, {} deep", type, depth);
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const Field pivots, kernel_.btf().Member(layout, "pivot"));
    ASSIGN_OR_RETURN(const Field slots, kernel_.btf().Member(layout, "slot"));
    const uint64_t node = entry & ~kNodeMask;
    // Taken before its children are read.
    absl::StatusOr<Bytes> raw = kernel_.reader().Read(node, kNodeMask + 1);
    if (absl::IsNotFound(raw.status()) || absl::IsDataLoss(raw.status())) {
      out_.problem = fmt::format("a node at 0x{:x}, where no memory is", node);
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(raw.status());
    const size_t count = slots.size / 8;
    for (size_t i = 0; i < count && out_.problem.empty(); ++i) {
      // The last slot has no pivot, and an unused one is zero: both mean the
      // node's own end. What lies behind is not in the tree.
      const uint64_t pivot = i < pivots.size / 8
                                 ? LittleEndian(*raw, pivots.offset + i * 8, 8)
                                 : 0;
      const uint64_t end = i > 0 && pivot == 0 ? max : pivot;
      const uint64_t slot = LittleEndian(*raw, slots.offset + i * 8, 8);
      if (end > max || (type == kLeaf64 && IsNode(slot))) {
        out_.problem =
            fmt::format("a node at 0x{:x} that contradicts itself", node);
        return absl::OkStatus();
      }
      RETURN_IF_ERROR(Entry(slot, depth + 1, end));
      if (end == max) {
        break;
      }
    }
    return absl::OkStatus();
  }

  Kernel& kernel_;
  const size_t most_;
  MapleEntries& out_;
  size_t nodes_ = 0;
};

}  // namespace

absl::StatusOr<MapleEntries> ReadMapleTree(Kernel& kernel, uint64_t tree,
                                           size_t most) {
  MapleEntries out;
  ASSIGN_OR_RETURN(const uint64_t root,
                   kernel.Get(tree, "maple_tree", "ma_root"));
  RETURN_IF_ERROR(Reader(kernel, most, out).Entry(root, 0, UINT64_MAX));
  return out;
}

}  // namespace vmattest::linuxguest
