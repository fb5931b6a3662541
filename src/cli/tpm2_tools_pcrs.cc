#include "cli/tpm2_tools_pcrs.h"

#include <fmt/format.h>

#include <algorithm>

namespace vmattest::cli {
namespace {

// tss2_tpm2_types.h: TPM2_NUM_PCR_BANKS, sizes of TPMS_PCR_SELECTION (with its
// byte of padding), TPML_DIGEST and TPM2B_DIGEST.
constexpr size_t kBanks = 16;
constexpr size_t kSelectionSize = 8;
constexpr size_t kSelectBytes = 3;
constexpr size_t kDigestsPerList = 8;
constexpr size_t kDigestBuffer = 64;

void Little16(Bytes& out, uint16_t value) {
  out.push_back(static_cast<uint8_t>(value));
  out.push_back(static_cast<uint8_t>(value >> 8));
}

void Little32(Bytes& out, size_t value) {
  for (int shift = 0; shift < 32; shift += 8) {
    out.push_back(static_cast<uint8_t>(value >> shift));
  }
}

absl::Status AppendSelection(const evidence::PcrSelection& selection,
                             Bytes& out) {
  Bytes bitmap(kSelectBytes, 0);
  for (const uint32_t index : selection.indexes) {
    if (index >= kSelectBytes * 8) {
      return absl::InvalidArgumentError(fmt::format("PCR {}", index));
    }
    bitmap[index / 8] |= static_cast<uint8_t>(1u << (index % 8));
  }
  Little16(out, selection.bank);
  out.push_back(kSelectBytes);
  out.insert(out.end(), bitmap.begin(), bitmap.end());
  out.resize(out.size() + kSelectionSize - 3 - kSelectBytes, 0);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Bytes>> SelectedValues(
    const std::vector<evidence::PcrSelection>& selections,
    const std::vector<PcrValues>& values) {
  std::vector<Bytes> selected;
  for (const evidence::PcrSelection& selection : selections) {
    const auto bank = std::find_if(
        values.begin(), values.end(),
        [&](const PcrValues& v) { return v.bank == selection.bank; });
    for (const uint32_t index : selection.indexes) {
      if (bank == values.end() || !bank->values.contains(index) ||
          bank->values.at(index).size() > kDigestBuffer) {
        return absl::InvalidArgumentError(fmt::format(
            "PCR {} of bank {:#06x} has no value", index, selection.bank));
      }
      selected.push_back(bank->values.at(index));
    }
  }
  return selected;
}

}  // namespace

absl::StatusOr<Bytes> EncodeTpm2ToolsPcrs(
    const std::vector<evidence::PcrSelection>& selections,
    const std::vector<PcrValues>& values) {
  if (selections.size() > kBanks) {
    return absl::InvalidArgumentError(
        fmt::format("{} banks", selections.size()));
  }
  Bytes out;
  Little32(out, selections.size());
  for (const evidence::PcrSelection& selection : selections) {
    RETURN_IF_ERROR(AppendSelection(selection, out));
  }
  out.resize(sizeof(uint32_t) + kBanks * kSelectionSize, 0);
  ASSIGN_OR_RETURN(const std::vector<Bytes> selected,
                   SelectedValues(selections, values));
  Little32(out, (selected.size() + kDigestsPerList - 1) / kDigestsPerList);
  for (size_t begin = 0; begin < selected.size(); begin += kDigestsPerList) {
    const size_t end = std::min(selected.size(), begin + kDigestsPerList);
    Little32(out, end - begin);
    for (size_t i = begin; i < begin + kDigestsPerList; ++i) {
      const Bytes value = i < end ? selected[i] : Bytes();
      Little16(out, static_cast<uint16_t>(value.size()));
      out.insert(out.end(), value.begin(), value.end());
      out.resize(out.size() + kDigestBuffer - value.size(), 0);
    }
  }
  return out;
}

}  // namespace vmattest::cli
