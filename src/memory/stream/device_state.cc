#include "memory/stream/device_state.h"

#include <map>
#include <optional>
#include <string>

#include "base/strict_json.h"
#include "fmt/format.h"

namespace vmattest::memory {
namespace {

using nlohmann::json;

constexpr uint8_t kEnd = 0x00;
constexpr uint8_t kFull = 0x04;
constexpr uint8_t kSubsection = 0x05;
constexpr uint8_t kDescription = 0x06;
constexpr uint8_t kFooter = 0x7e;
constexpr size_t kMaxDescription = size_t{8} << 20;
constexpr int kMaxDepth = 64;
constexpr size_t kMaxVcpus = 4096;

absl::Status Malformed(std::string_view what) {
  return absl::InvalidArgumentError(std::string(what));
}

const json* Member(const json& object, const char* name) {
  const auto found = object.is_object() ? object.find(name) : object.end();
  return found == object.end() ? nullptr : &*found;
}
std::string Text(const json& object, const char* name) {
  const json* const member = Member(object, name);
  return member != nullptr && member->is_string() ? member->get<std::string>()
                                                  : "";
}
std::optional<uint64_t> Number(const json& object, const char* name) {
  const json* const member = Member(object, name);
  if (member == nullptr || !member->is_number_unsigned()) {
    return std::nullopt;
  }
  return member->get<uint64_t>();
}
const json& List(const json& object, const char* name) {
  static const json kNone = json::array();
  const json* const member = Member(object, name);
  return member != nullptr && member->is_array() ? *member : kNone;
}

// JSON has no byte below 0x20 but white space, so the last 0x06 begins it.
absl::StatusOr<json> FindDescription(ByteView devices, size_t& begin) {
  for (begin = devices.size(); begin-- > 0;) {
    if (devices[begin] != kDescription) {
      continue;
    }
    ByteReader reader(devices.subspan(begin + 1));
    const uint32_t size = reader.U32();
    if (!reader.ok() || size != reader.remaining()) {
      continue;
    }
    if (size > kMaxDescription) {
      return absl::ResourceExhaustedError(
          fmt::format("a description of {} bytes", size));
    }
    return ParseStrictJson(AsText(reader.Raw(size)), kMaxDepth);
  }
  return absl::NotFoundError("QEMU described no devices");
}

// How many bytes `fields` are. Sizes are of one element, with all inside it.
std::optional<uint64_t> SizeOf(const json& fields) {
  uint64_t total = 0;
  for (const json& field : fields) {
    const std::optional<uint64_t> size = Number(field, "size");
    const uint64_t count = Number(field, "array_len").value_or(1);
    uint64_t bytes = 0;
    if (!size || __builtin_mul_overflow(*size, count, &bytes) ||
        __builtin_add_overflow(total, bytes, &total)) {
      return std::nullopt;
    }
  }
  return total;
}

// Steps over what comes behind a device's own fields.
bool SkipSubsections(const json& device, ByteReader& reader) {
  for (const json& part : List(device, "subsections")) {
    const bool begins = reader.U8() == kSubsection;
    const size_t length = reader.U8();
    const std::string_view name = AsText(reader.Raw(length));
    (void)reader.U32();
    const std::optional<uint64_t> size = SizeOf(List(part, "fields"));
    if (!begins || name != Text(part, "vmsd_name") || !size ||
        *size > reader.remaining()) {
      return false;
    }
    reader.Raw(*size);
    if (!SkipSubsections(part, reader)) {
      return false;
    }
  }
  return reader.ok();
}

// The fields of one device, as bytes.
absl::StatusOr<ByteView> ReadDevice(const json& device, ByteReader& reader) {
  const std::string name = Text(device, "name");
  const auto misfit = [&] {
    return Malformed(
        fmt::format("device '{}': it is not what its description "
                    "says",
                    name));
  };
  const bool begins = reader.U8() == kFull;
  const uint32_t id = reader.U32();
  const size_t length = reader.U8();
  const std::string_view told = AsText(reader.Raw(length));
  const uint32_t instance = reader.U32();
  (void)reader.U32();
  const std::optional<uint64_t> size = SizeOf(List(device, "fields"));
  if (!begins || told != name || instance != Number(device, "instance_id") ||
      !size || *size > reader.remaining()) {
    return misfit();
  }
  const ByteView fields = reader.Raw(*size);
  if (!SkipSubsections(device, reader) || reader.U8() != kFooter ||
      reader.U32() != id) {
    return misfit();
  }
  return fields;
}

// Named numbers of a structure.
class Fields {
 public:
  Fields(const json& fields, ByteView bytes) {
    uint64_t at = 0;
    for (const json& field : fields) {
      const uint64_t size = Number(field, "size").value_or(0);
      const uint64_t count = Number(field, "array_len").value_or(1);
      const uint64_t index = Number(field, "index").value_or(0);
      if (at + size * count > bytes.size()) {
        return;  // SizeOf() has seen to it
      }
      places_.emplace(std::pair(Text(field, "name"), index),
                      Place{&field, bytes.subspan(at, size * count), size});
      at += size * count;
    }
  }

  [[nodiscard]] std::optional<uint64_t> Get(const std::string& name,
                                            uint64_t element = 0) const {
    auto place = places_.find({name, element});
    uint64_t skip = 0;
    if (place == places_.end()) {
      place = places_.find({name, 0});
      skip = element;
    }
    if (place == places_.end()) {
      return std::nullopt;
    }
    const uint64_t size = place->second.size;
    const ByteView bytes = place->second.bytes;
    if (size == 0 || size > 8 || (skip + 1) * size > bytes.size()) {
      return std::nullopt;
    }
    uint64_t value = 0;
    for (const uint8_t byte : bytes.subspan(skip * size, size)) {
      value = value << 8 | byte;
    }
    return value;
  }

  [[nodiscard]] std::optional<VcpuState::Table> GetTable(
      const std::string& name) const {
    const auto place = places_.find({name, 0});
    if (place == places_.end()) {
      return std::nullopt;
    }
    const json* const structure = Member(*place->second.field, "struct");
    if (structure == nullptr) {
      return std::nullopt;
    }
    const Fields inner(List(*structure, "fields"), place->second.bytes);
    const std::optional<uint64_t> base = inner.Get("base");
    const std::optional<uint64_t> limit = inner.Get("limit");
    if (!base || !limit) {
      return std::nullopt;
    }
    return VcpuState::Table{*base, static_cast<uint16_t>(*limit)};
  }

 private:
  struct Place {
    const json* field;
    ByteView bytes;
    uint64_t size;
  };
  std::map<std::pair<std::string, uint64_t>, Place> places_;
};

// target/i386/machine.c: vmstate_x86_cpu.
VcpuState ToVcpuState(const Fields& fields) {
  VcpuState state;
  state.cr0 = fields.Get("env.cr[0]");
  state.cr3 = fields.Get("env.cr[3]");
  state.cr4 = fields.Get("env.cr[4]");
  state.efer = fields.Get("env.efer");
  state.idtr = fields.GetTable("env.idt");
  state.gdtr = fields.GetTable("env.gdt");
  state.star = fields.Get("env.star");
  state.lstar = fields.Get("env.lstar");
  state.cstar = fields.Get("env.cstar");
  state.fmask = fields.Get("env.fmask");
  state.sysenter_cs = fields.Get("env.sysenter_cs");
  state.sysenter_esp = fields.Get("env.sysenter_esp");
  state.sysenter_eip = fields.Get("env.sysenter_eip");
  std::array<uint64_t, 8> dr{};
  for (size_t i = 0; i < dr.size(); ++i) {
    const std::optional<uint64_t> value = fields.Get("env.dr", i);
    if (!value) {
      return state;
    }
    dr[i] = i == 4 || i == 5 ? 0 : *value;
  }
  state.dr = dr;
  return state;
}

}  // namespace

absl::StatusOr<std::vector<VcpuState>> ReadVcpuStates(ByteView devices) {
  size_t end = 0;
  ASSIGN_OR_RETURN_WITH(const json description, FindDescription(devices, end),
                        "description");
  ByteReader reader(devices.first(end));
  std::map<uint64_t, VcpuState> vcpus;
  for (const json& device : List(description, "devices")) {
    ASSIGN_OR_RETURN(const ByteView fields, ReadDevice(device, reader));
    if (Text(device, "name") != "cpu") {
      continue;
    }
    const uint64_t number = Number(device, "instance_id").value_or(0);
    if (vcpus.size() >= kMaxVcpus ||
        !vcpus
             .emplace(number,
                      ToVcpuState(Fields(List(device, "fields"), fields)))
             .second) {
      return Malformed(fmt::format("vCPU {}: it is there twice", number));
    }
  }
  if (reader.U8() != kEnd || !reader.AtEnd()) {
    return Malformed("a device that nothing describes");
  }
  if (vcpus.empty()) {
    return absl::NotFoundError("QEMU described no vCPU");
  }
  std::vector<VcpuState> states;
  for (auto& [number, state] : vcpus) {
    states.push_back(state);
  }
  return states;
}

}  // namespace vmattest::memory
