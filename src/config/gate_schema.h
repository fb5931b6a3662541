#ifndef VMATTEST_CONFIG_GATE_SCHEMA_H_
#define VMATTEST_CONFIG_GATE_SCHEMA_H_

#include <optional>
#include <string_view>

#include "base/status.h"
#include "config/daemon_config.h"
#include "config/key_checks.h"
#include "vmattest/v1/config.pb.h"

// The section `gate` of vmattestd's file. Errors as KeyChecks. Pure.

namespace vmattest::config {

// Of `gate.verifier`: no other machine's.
inline constexpr std::string_view kEmbeddedVerifier = "embedded";

void SetGateDefaults(v1::GateConfig& gate);

// `verifier`: where the host enrols.
absl::StatusOr<GateConfig> CheckGate(
    const v1::GateConfig& in, const std::optional<VerifierClient>& verifier,
    const KeyChecks& checks);

}  // namespace vmattest::config

#endif  // VMATTEST_CONFIG_GATE_SCHEMA_H_
