#include "trust/state_codec.h"

#include "fmt/format.h"

namespace vmattest::trust {
namespace {

constexpr uint8_t kVersion = 1;
// In the place of a version: weights follow. Rules without any are as they
// were before there were weights, so that roots of older states hold.
constexpr uint32_t kWeighted = uint32_t{1} << 31;
constexpr std::string_view kVm = "vm/";
constexpr std::string_view kHost = "host/";

uint64_t Raw(int64_t value) { return static_cast<uint64_t>(value); }
int64_t ReadInt(ByteReader& reader) {
  return static_cast<int64_t>(reader.U64());
}
std::string ReadText(ByteReader& reader) {
  const uint32_t size = reader.U32();
  return std::string(AsText(reader.Raw(size)));
}

template <class State>
absl::StatusOr<State> Checked(const ByteReader& reader, uint8_t version,
                              State state, std::string_view what,
                              ByteView bytes, Bytes (*encode)(const State&)) {
  const bool whole = version == kVersion && reader.AtEnd();
  const Bytes again = whole ? encode(state) : Bytes();
  if (!whole || AsText(again) != AsText(bytes)) {
    return absl::InvalidArgumentError(fmt::format("malformed {}", what));
  }
  return state;
}

}  // namespace

void WriteRules(const ScoreRules& rules, ByteWriter& writer) {
  const bool weighted = !rules.weights.empty();
  writer.U32(rules.version | (weighted ? kWeighted : 0))
      .U64(Raw(rules.start))
      .U64(Raw(rules.cap))
      .U64(Raw(rules.floor))
      .U64(Raw(rules.pass_credit))
      .U64(Raw(rules.fail_debit))
      .U64(Raw(rules.decay_per_hour))
      .U64(Raw(rules.credit_interval_ms))
      .U64(Raw(rules.grace_ms))
      .U32(rules.compromise_vms)
      .U32(rules.compromise_owners)
      .U32(rules.window_fails)
      .U64(Raw(rules.window_ms))
      .U64(Raw(rules.compromise_keeps))
      .U64(Raw(rules.free))
      .U64(Raw(rules.checked));
  if (weighted) {
    writer.U32(static_cast<uint32_t>(rules.weights.size()));
  }
  for (const auto& [reason, debit] : rules.weights) {
    writer.Sized(reason).U64(Raw(debit));
  }
}

ScoreRules ReadRules(ByteReader& reader) {
  ScoreRules rules;
  const uint32_t version = reader.U32();
  rules.version = version & ~kWeighted;
  rules.start = ReadInt(reader);
  rules.cap = ReadInt(reader);
  rules.floor = ReadInt(reader);
  rules.pass_credit = ReadInt(reader);
  rules.fail_debit = ReadInt(reader);
  rules.decay_per_hour = ReadInt(reader);
  rules.credit_interval_ms = ReadInt(reader);
  rules.grace_ms = ReadInt(reader);
  rules.compromise_vms = reader.U32();
  rules.compromise_owners = reader.U32();
  rules.window_fails = reader.U32();
  rules.window_ms = ReadInt(reader);
  rules.compromise_keeps = ReadInt(reader);
  rules.free = ReadInt(reader);
  rules.checked = ReadInt(reader);
  const uint32_t weights = (version & kWeighted) != 0 ? reader.U32() : 0;
  for (uint32_t i = 0; i < weights && reader.ok(); ++i) {
    const std::string reason = ReadText(reader);
    rules.weights[reason] = ReadInt(reader);
  }
  return rules;
}

Bytes EncodeFoldState(const FoldState& state) {
  ByteWriter writer;
  writer.U8(kVersion).U64(state.witnessed).U64(Raw(state.newest_ms));
  writer.U32(static_cast<uint32_t>(state.rules.size()));
  for (const auto& [index, rules] : state.rules) {
    writer.U64(index);
    WriteRules(rules, writer);
  }
  return std::move(writer).Take();
}

absl::StatusOr<FoldState> ParseFoldState(ByteView bytes) {
  ByteReader reader(bytes);
  const uint8_t version = reader.U8();
  FoldState state{.witnessed = reader.U64()};
  state.newest_ms = ReadInt(reader);
  const uint32_t count = reader.U32();
  for (uint32_t i = 0; i < count && reader.ok(); ++i) {
    const uint64_t index = reader.U64();
    state.rules[index] = ReadRules(reader);
    if (!AreValid(state.rules[index])) {
      return absl::InvalidArgumentError("malformed rules of the score");
    }
  }
  if (state.rules.count(0) == 0) {
    return absl::InvalidArgumentError("no rules of the score");
  }
  return Checked(reader, version, std::move(state), "state of the fold", bytes,
                 &EncodeFoldState);
}

std::string VmStateKey(const Uuid& vm) {
  return std::string(kVm) + ToString(vm);
}

absl::StatusOr<Uuid> ParseVmStateKey(std::string_view key) {
  if (!key.starts_with(kVm)) {
    return absl::InvalidArgumentError("no key of a VM's state");
  }
  return ParseUuid(key.substr(kVm.size()));
}

Bytes EncodeVmState(const VmState& state) {
  ByteWriter writer;
  writer.U8(kVersion)
      .Sized(state.owner)
      .Sized(state.host)
      .Sized(state.leaving_to)
      .U8(static_cast<uint8_t>((state.running ? 1 : 0) |
                               (state.failing ? 2 : 0)))
      .U64(state.epoch)
      .U64(Raw(state.solid.milli))
      .U64(Raw(state.solid.anchor_ms))
      .U64(Raw(state.solid.remainder))
      .U64(Raw(state.solid.last_credit_ms))
      .U64(Raw(state.seen_ms))
      .U64(state.passes)
      .U64(state.fails)
      .U64(state.silences)
      .U64(state.last_index)
      .U32(static_cast<uint32_t>(state.fail_times.size()));
  for (const int64_t time : state.fail_times) {
    writer.U64(Raw(time));
  }
  writer.U32(static_cast<uint32_t>(state.pending.size()));
  for (const Step& step : state.pending) {
    writer.U64(step.index)
        .U64(Raw(step.time_ms))
        .U8(static_cast<uint8_t>(step.kind))
        .U64(Raw(step.debit));
  }
  return std::move(writer).Take();
}

absl::StatusOr<VmState> ParseVmState(ByteView bytes) {
  ByteReader reader(bytes);
  const uint8_t version = reader.U8();
  VmState state;
  state.owner = ReadText(reader);
  state.host = ReadText(reader);
  state.leaving_to = ReadText(reader);
  const uint8_t flags = reader.U8();
  state.running = (flags & 1) != 0;
  state.failing = (flags & 2) != 0;
  state.epoch = reader.U64();
  state.solid.milli = ReadInt(reader);
  state.solid.anchor_ms = ReadInt(reader);
  state.solid.remainder = ReadInt(reader);
  state.solid.last_credit_ms = ReadInt(reader);
  state.seen_ms = ReadInt(reader);
  state.passes = reader.U64();
  state.fails = reader.U64();
  state.silences = reader.U64();
  state.last_index = reader.U64();
  const uint32_t fails = reader.U32();
  for (uint32_t i = 0; i < fails && reader.ok(); ++i) {
    state.fail_times.push_back(ReadInt(reader));
  }
  const uint32_t steps = reader.U32();
  for (uint32_t i = 0; i < steps && reader.ok(); ++i) {
    Step step{.index = reader.U64()};
    step.time_ms = ReadInt(reader);
    const uint8_t kind = reader.U8();
    if (kind < 1 || kind > 4) {
      return absl::InvalidArgumentError("malformed state of a VM");
    }
    step.kind = static_cast<Step::Kind>(kind);
    step.debit = ReadInt(reader);
    state.pending.push_back(step);
  }
  return Checked(reader, version, std::move(state), "state of a VM", bytes,
                 &EncodeVmState);
}

std::string HostStateKey(std::string_view host) {
  return std::string(kHost) + std::string(host);
}

absl::StatusOr<std::string> ParseHostStateKey(std::string_view key) {
  if (!key.starts_with(kHost)) {
    return absl::InvalidArgumentError("no key of a host's state");
  }
  return std::string(key.substr(kHost.size()));
}

Bytes EncodeHostState(const HostState& state) {
  ByteWriter writer;
  writer.U8(kVersion)
      .U8(state.compromised ? 1 : 0)
      .U64(state.compromised_index)
      .U64(Raw(state.last_tick_ms))
      .U64(state.ticks);
  return std::move(writer).Take();
}

absl::StatusOr<HostState> ParseHostState(ByteView bytes) {
  ByteReader reader(bytes);
  const uint8_t version = reader.U8();
  HostState state{.compromised = reader.U8() != 0};
  state.compromised_index = reader.U64();
  state.last_tick_ms = ReadInt(reader);
  state.ticks = reader.U64();
  return Checked(reader, version, state, "state of a host", bytes,
                 &EncodeHostState);
}

}  // namespace vmattest::trust
