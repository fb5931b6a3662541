#include "linuxguest/btf.h"

#include <fmt/format.h>

#include <algorithm>

#include "linuxguest/physical_reader.h"

namespace vmattest::linuxguest {
namespace {

constexpr uint64_t kMagic = 0xeb9f;
constexpr size_t kMostTypes = 1 << 20;
constexpr size_t kTypeBytes = 12;
constexpr size_t kMemberBytes = 12;
// Structures within structures, and names for types.
constexpr int kMostDepth = 32;

enum Kind : uint32_t {
  kInt = 1,
  kPtr = 2,
  kArray = 3,
  kStruct = 4,
  kUnion = 5,
  kEnum = 6,
  kTypedef = 8,
  kVolatile = 9,
  kConst = 10,
  kRestrict = 11,
  kFuncProto = 13,
  kVar = 14,
  kDatasec = 15,
  kDeclTag = 17,
  kTypeTag = 18,
  kEnum64 = 19,
};
constexpr uint32_t kLastKind = kEnum64;

uint32_t KindOf(uint64_t info) { return info >> 24 & 0x1f; }
uint32_t CountOf(uint64_t info) { return info & 0xffff; }
bool KindFlag(uint64_t info) { return (info >> 31) != 0; }

size_t ExtraBytes(uint32_t kind, uint32_t count) {
  switch (kind) {
    case kInt:
    case kVar:
    case kDeclTag:
      return 4;
    case kArray:
      return 12;
    case kStruct:
    case kUnion:
    case kDatasec:
    case kEnum64:
      return size_t{count} * 12;
    case kEnum:
    case kFuncProto:
      return size_t{count} * 8;
    default:
      return 0;
  }
}

}  // namespace

uint64_t Btf::Word(uint32_t type, size_t word) const {
  return type < offsets_.size()
             ? LittleEndian(section_, types_begin_ + offsets_[type] + word * 4,
                            4)
             : 0;
}

std::string_view Btf::Text(uint64_t offset) const {
  const std::string_view text =
      AsText(section_).substr(text_begin_, text_end_ - text_begin_);
  return offset < text.size()
             ? text.substr(offset, text.find('\0', offset) - offset)
             : std::string_view();
}

absl::StatusOr<Btf> Btf::Parse(Bytes section) {
  Btf btf(std::move(section));
  const ByteView bytes = btf.section_;
  if (LittleEndian(bytes, 0, 2) != kMagic || LittleEndian(bytes, 2, 1) != 1) {
    return absl::DataLossError("BTF: no header of version 1");
  }
  const uint64_t header = LittleEndian(bytes, 4, 4);
  btf.types_begin_ = header + LittleEndian(bytes, 8, 4);
  btf.types_end_ = btf.types_begin_ + LittleEndian(bytes, 12, 4);
  btf.text_begin_ = header + LittleEndian(bytes, 16, 4);
  btf.text_end_ = btf.text_begin_ + LittleEndian(bytes, 20, 4);
  if (btf.types_end_ > bytes.size() || btf.text_end_ > bytes.size()) {
    return absl::DataLossError("BTF: longer than its section");
  }
  RETURN_IF_ERROR(btf.IndexTypes());
  return btf;
}

absl::Status Btf::IndexTypes() {
  offsets_.assign(1, 0);
  size_t at = types_begin_;
  while (at < types_end_) {
    if (offsets_.size() > kMostTypes) {
      return absl::DataLossError("BTF: more types than any kernel has");
    }
    const auto id = static_cast<uint32_t>(offsets_.size());
    offsets_.push_back(static_cast<uint32_t>(at - types_begin_));
    const uint64_t info = Word(id, 1);
    const uint32_t kind = KindOf(info);
    at += kTypeBytes + ExtraBytes(kind, CountOf(info));
    if (kind == 0 || kind > kLastKind || at > types_end_) {
      return absl::DataLossError(
          fmt::format("BTF: type {} is of no known kind or size", id));
    }
    if (kind == kStruct || kind == kUnion) {
      const std::string_view name = Text(Word(id, 0));
      if (!name.empty()) {
        structures_.emplace(name, id);
      }
    }
  }
  return absl::OkStatus();
}

// Names and qualifiers taken off.
uint32_t Btf::Resolve(uint32_t type) const {
  for (int depth = 0; depth < kMostDepth; ++depth) {
    const uint32_t kind = KindOf(Word(type, 1));
    if (kind != kTypedef && kind != kVolatile && kind != kConst &&
        kind != kRestrict && kind != kTypeTag) {
      return type;
    }
    type = static_cast<uint32_t>(Word(type, 2));
  }
  return 0;
}

uint64_t Btf::SizeOf(uint32_t type, int depth) const {
  type = Resolve(type);
  switch (KindOf(Word(type, 1))) {
    case kPtr:
      return 8;
    case kArray:
      return depth > kMostDepth
                 ? 0
                 : Word(type, 5) *
                       SizeOf(static_cast<uint32_t>(Word(type, 3)), depth + 1);
    case kInt:
    case kStruct:
    case kUnion:
    case kEnum:
    case kEnum64:
      return Word(type, 2);
    default:
      return 0;
  }
}

bool Btf::FindMember(uint32_t type, std::string_view name, int depth,
                     Found& found) const {
  const uint64_t info = Word(type, 1);
  if (depth > kMostDepth ||
      (KindOf(info) != kStruct && KindOf(info) != kUnion)) {
    return false;
  }
  for (size_t i = 0; i < CountOf(info); ++i) {
    const size_t word = kTypeBytes / 4 + i * (kMemberBytes / 4);
    const std::string_view member = Text(Word(type, word));
    const auto inner = static_cast<uint32_t>(Word(type, word + 1));
    const uint64_t bits = Word(type, word + 2);
    const uint64_t offset = (KindFlag(info) ? bits & 0xffffff : bits) / 8;
    if (member == name) {
      found = {{offset, SizeOf(inner, 0)}, inner};
      return true;
    }
    if (member.empty() && FindMember(Resolve(inner), name, depth + 1, found)) {
      found.field.offset += offset;
      return true;
    }
  }
  return false;
}

absl::StatusOr<Field> Btf::Member(std::string_view structure,
                                  std::string_view path) const {
  const auto known = structures_.find(structure);
  if (known == structures_.end()) {
    return absl::NotFoundError(fmt::format("BTF: no structure {}", structure));
  }
  Found found{{0, 0}, known->second};
  uint64_t offset = 0;
  for (std::string_view rest = path; !rest.empty();) {
    const std::string_view name = rest.substr(0, rest.find('.'));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    if (!FindMember(Resolve(found.type), name, 0, found)) {
      return absl::NotFoundError(
          fmt::format("BTF: no member {} of {}", path, structure));
    }
    offset += found.field.offset;
  }
  return Field{offset, found.field.size};
}

absl::StatusOr<uint64_t> Btf::Size(std::string_view structure) const {
  const auto known = structures_.find(structure);
  if (known == structures_.end()) {
    return absl::NotFoundError(fmt::format("BTF: no structure {}", structure));
  }
  return SizeOf(known->second, 0);
}

absl::StatusOr<uint64_t> Btf::Enumerator(std::string_view name) const {
  for (uint32_t type = 1; type < offsets_.size(); ++type) {
    const uint64_t info = Word(type, 1);
    if (KindOf(info) != kEnum) {
      continue;
    }
    for (size_t i = 0; i < CountOf(info); ++i) {
      if (Text(Word(type, 3 + i * 2)) == name) {
        return Word(type, 4 + i * 2);
      }
    }
  }
  return absl::NotFoundError(fmt::format("BTF: no enumerator {}", name));
}

}  // namespace vmattest::linuxguest
