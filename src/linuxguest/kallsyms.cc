#include "linuxguest/kallsyms.h"

#include <fmt/format.h>

#include <array>
#include <optional>

namespace vmattest::linuxguest {
namespace {

constexpr size_t kTokens = 256;
constexpr size_t kMostTokenBytes = 16384;
// KSYM_NAME_LEN is 512, the type's character comes in front.
constexpr size_t kMostName = 512;

class Tokens {
 public:
  static absl::StatusOr<Tokens> Read(VirtualReader& reader, uint64_t table,
                                     uint64_t index) {
    ASSIGN_OR_RETURN_WITH(const Bytes offsets, reader.Read(index, kTokens * 2),
                          "kallsyms_token_index");
    Tokens tokens;
    for (size_t i = 0; i < kTokens; ++i) {
      const uint64_t offset = LittleEndian(offsets, i * 2, 2);
      if (offset > kMostTokenBytes) {
        return absl::DataLossError("kallsyms_token_index: an offset too high");
      }
      ASSIGN_OR_RETURN_WITH(tokens.text_[i],
                            reader.Text(table + offset, kMostName),
                            "kallsyms_token_table");
    }
    return tokens;
  }

  [[nodiscard]] const std::string& operator[](uint8_t token) const {
    return text_[token];
  }

 private:
  std::array<std::string, kTokens> text_;
};

// The names' bytes front to back, a page at a time: how many there are is only
// known at their end.
class NameStream {
 public:
  NameStream(VirtualReader& reader, uint64_t address)
      : reader_(reader), address_(address) {}

  absl::StatusOr<uint8_t> Next() {
    if (at_ == page_.size()) {
      const uint64_t to_boundary =
          memory::kPageSize - address_ % memory::kPageSize;
      ASSIGN_OR_RETURN_WITH(page_, reader_.Read(address_, to_boundary),
                            "kallsyms_names");
      address_ += to_boundary;
      at_ = 0;
    }
    return page_[at_++];
  }

 private:
  VirtualReader& reader_;
  uint64_t address_;
  Bytes page_;
  size_t at_ = 0;
};

// Type and name. Since Linux 6.1 a length over 127 takes two bytes.
absl::Status NextName(NameStream& stream, const Tokens& tokens,
                      std::string& out) {
  out.clear();
  ASSIGN_OR_RETURN(const uint8_t low, stream.Next());
  size_t length = low;
  if ((low & 0x80) != 0) {
    ASSIGN_OR_RETURN(const uint8_t high, stream.Next());
    length = (low & 0x7FU) | static_cast<size_t>(high) << 7;
  }
  for (size_t i = 0; i < length; ++i) {
    ASSIGN_OR_RETURN(const uint8_t token, stream.Next());
    out += tokens[token];
    if (out.size() > kMostName) {
      return absl::DataLossError("kallsyms_names: a name without end");
    }
  }
  if (out.size() < 2) {
    return absl::DataLossError("kallsyms_names: a symbol without a name");
  }
  return absl::OkStatus();
}

// Until 6.14, on SMP kernels: not negative is absolute (per-CPU offsets), and
// the rest counts down from the base. Since then: counts up.
uint64_t AddressOf(uint64_t offset, uint64_t base, bool absolute_percpu) {
  const auto value = static_cast<int32_t>(static_cast<uint32_t>(offset));
  if (!absolute_percpu) {
    return base + static_cast<uint32_t>(value);
  }
  return value >= 0 ? static_cast<uint64_t>(value)
                    : base - 1 - static_cast<uint64_t>(int64_t{value});
}

}  // namespace

absl::StatusOr<SymbolTable> ReadKallsyms(VirtualReader& reader,
                                         const VmcoreInfo& info) {
  const Limits& limits = reader.physical().limits();
  const auto table = [&info](std::string_view name) {
    return info.Symbol(fmt::format("kallsyms_{}", name)).value_or(0);
  };
  ASSIGN_OR_RETURN_WITH(const uint64_t count,
                        reader.Number(table("num_syms"), 4),
                        "kallsyms_num_syms");
  if (count == 0 || count > limits.symbols) {
    return absl::DataLossError(fmt::format("kallsyms_num_syms: {}", count));
  }
  ASSIGN_OR_RETURN_WITH(const uint64_t base,
                        reader.Pointer(table("relative_base")),
                        "kallsyms_relative_base");
  ASSIGN_OR_RETURN_WITH(const Bytes offsets,
                        reader.Read(table("offsets"), count * 4),
                        "kallsyms_offsets");
  ASSIGN_OR_RETURN(
      const Tokens tokens,
      Tokens::Read(reader, table("token_table"), table("token_index")));

  NameStream stream(reader, table("names"));
  std::vector<std::string> names(count);
  std::optional<size_t> stext;
  size_t bytes = 0;
  for (size_t i = 0; i < count; ++i) {
    RETURN_IF_ERROR(NextName(stream, tokens, names[i]));
    bytes += names[i].size();
    if (bytes > limits.symbol_bytes) {
      return absl::DataLossError("kallsyms_names: longer than any kernel's");
    }
    if (names[i].substr(1) == "_stext") {
      stext = i;
    }
  }
  const uint64_t expected = *info.Symbol("_stext");
  std::optional<bool> percpu;
  for (const bool mode : {true, false}) {
    if (stext && AddressOf(LittleEndian(offsets, *stext * 4, 4), base, mode) ==
                     expected) {
      percpu = mode;
      break;
    }
  }
  if (!percpu) {
    return absl::DataLossError(
        "kallsyms: _stext is not where VMCOREINFO has it");
  }
  SymbolTable symbols;
  for (size_t i = 0; i < count; ++i) {
    RETURN_IF_ERROR(
        symbols.Add(AddressOf(LittleEndian(offsets, i * 4, 4), base, *percpu),
                    names[i][0], std::string_view(names[i]).substr(1), limits));
  }
  symbols.Sort();
  return symbols;
}

}  // namespace vmattest::linuxguest
