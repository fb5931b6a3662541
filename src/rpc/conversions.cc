#include "rpc/conversions.h"

#include <algorithm>
#include <map>

#include "evidence/statement.h"
#include "fmt/format.h"
#include "rpc/status/status_mapping.h"

namespace vmattest::rpc {
namespace {

absl::StatusOr<HashAlgorithm> Algorithm(v1::HashAlgorithm wire,
                                        HashAlgorithm otherwise) {
  if (wire == v1::HASH_ALGORITHM_UNSPECIFIED) {
    return otherwise;
  }
  for (const HashAlgorithm algorithm : kAllHashAlgorithms) {
    if (static_cast<int>(wire) == static_cast<int>(algorithm)) {
      return algorithm;
    }
  }
  return FieldError("algorithm", fmt::format("{} is no known algorithm",
                                             static_cast<int>(wire)));
}

absl::StatusOr<measurement::ContentPolicy> Content(
    v1::ContentPolicy wire, measurement::ContentPolicy otherwise) {
  switch (wire) {
    case v1::CONTENT_POLICY_UNSPECIFIED:
      return otherwise;
    case v1::CONTENT_POLICY_FULL:
      return measurement::ContentPolicy::kFull;
    case v1::CONTENT_POLICY_CHAIN:
      return measurement::ContentPolicy::kChain;
    case v1::CONTENT_POLICY_NONE:
      return measurement::ContentPolicy::kNone;
    default:
      return FieldError("content", fmt::format("{} is no known policy",
                                               static_cast<int>(wire)));
  }
}

absl::StatusOr<inspection::InsidePolicy> Inside(
    v1::InsidePolicy wire, inspection::InsidePolicy otherwise) {
  switch (wire) {
    case v1::INSIDE_POLICY_UNSPECIFIED:
      return otherwise;
    case v1::INSIDE_POLICY_NONE:
      return inspection::InsidePolicy::kNone;
    case v1::INSIDE_POLICY_INVENTORY:
      return inspection::InsidePolicy::kInventory;
    case v1::INSIDE_POLICY_FULL:
      return inspection::InsidePolicy::kFull;
    default:
      return FieldError("inside", fmt::format("{} is no known policy",
                                              static_cast<int>(wire)));
  }
}

void AddLeaf(const ConfigLeaf& leaf,
             google::protobuf::RepeatedPtrField<v1::ConfigLeaf>* leaves) {
  v1::ConfigLeaf* to = leaves->Add();
  to->set_path(leaf.path);
  to->set_type(std::string(ToString(leaf.type)));
  to->set_value(leaf.value);
}

template <class Request>
absl::StatusOr<attestor::ConfigRequest> Common(
    const Request& request, const RequestDefaults& defaults) {
  attestor::ConfigRequest to;
  RETURN_IF_ERROR(CheckVm(request.vm()));
  to.vm = request.vm();
  ASSIGN_OR_RETURN(to.algorithm,
                   Algorithm(request.algorithm(), defaults.algorithm));
  ASSIGN_OR_RETURN(to.content, Content(request.content(), defaults.content));
  ASSIGN_OR_RETURN(to.inside, Inside(request.inside(), defaults.inside));
  to.fresh = request.fresh();
  return to;
}

v1::VmState State(const std::string& state) {
  static const auto& states = *new std::map<std::string, v1::VmState>{
      {"running", v1::VM_STATE_RUNNING},
      {"paused", v1::VM_STATE_PAUSED},
      {"shutoff", v1::VM_STATE_SHUTOFF},
      {"crashed", v1::VM_STATE_CRASHED},
      {"suspended", v1::VM_STATE_SUSPENDED},
      {"undefined", v1::VM_STATE_UNDEFINED}};
  const auto it = states.find(state);
  return it == states.end() ? v1::VM_STATE_UNSPECIFIED : it->second;
}

v1::HashAlgorithm ToWire(HashAlgorithm algorithm) {
  return static_cast<v1::HashAlgorithm>(algorithm);
}

v1::Measurement ToWire(const inventory::MeasurementRecord& record) {
  v1::Measurement wire;
  wire.set_algorithm(ToWire(record.algorithm));
  wire.set_root(record.root.data(), record.root.size());
  wire.set_leaf_count(record.leaf_count);
  wire.set_time_unix_ms(record.time_unix_ms);
  wire.set_cause(record.cause);
  wire.set_error(record.error);
  return wire;
}

}  // namespace

absl::StatusOr<attestor::ConfigRequest> FromWire(
    const v1::MeasureConfigRequest& request, const RequestDefaults& defaults) {
  return Common(request, defaults);
}

absl::StatusOr<attestor::ConfigRequest> FromWire(
    const v1::AttestConfigRequest& request, const RequestDefaults& defaults) {
  ASSIGN_OR_RETURN(attestor::ConfigRequest to, Common(request, defaults));
  ASSIGN_OR_RETURN(to.nonce, Nonce(request.nonce()));
  to.omit_leaves = request.omit_leaves();
  return to;
}

absl::StatusOr<attestor::ConfigRequest> FromWire(
    const v1::DiscloseLeafRequest& request, const RequestDefaults& defaults) {
  ASSIGN_OR_RETURN(attestor::ConfigRequest to, Common(request, defaults));
  ASSIGN_OR_RETURN(to.nonce, Nonce(request.nonce()));
  if (request.paths_size() < 1 || request.paths_size() > kMaxDisclosedLeaves) {
    return FieldError(
        "paths", fmt::format("must be 1 to {}, not {}", kMaxDisclosedLeaves,
                             request.paths_size()));
  }
  for (const std::string& path : request.paths()) {
    if (path.empty() || path.size() > kMaxLeafPath) {
      return FieldError("paths",
                        fmt::format("each has 1 to {} bytes, one has {}",
                                    kMaxLeafPath, path.size()));
    }
    if (std::find(to.leaves.begin(), to.leaves.end(), path) !=
        to.leaves.end()) {
      return FieldError("paths", fmt::format("'{}' is there twice", path));
    }
    to.leaves.push_back(path);
  }
  return to;
}

absl::StatusOr<Bytes> Nonce(const std::string& nonce) {
  if (!nonce.empty() && (nonce.size() < evidence::kMinNonceSize ||
                         nonce.size() > evidence::kMaxNonceSize)) {
    return FieldError(
        "nonce", fmt::format("must be empty or {} to {} bytes, not {}",
                             evidence::kMinNonceSize, evidence::kMaxNonceSize,
                             nonce.size()));
  }
  return ToBytes(nonce);
}

absl::Status CheckVm(const std::string& vm) {
  if (vm.empty()) {
    return FieldError("vm", "must be a UUID or a name");
  }
  if (vm.size() > kMaxVmReference) {
    return FieldError("vm", fmt::format("has {} bytes, more than {}", vm.size(),
                                        kMaxVmReference));
  }
  return absl::OkStatus();
}

absl::StatusOr<Page> FromWire(const v1::ListVmsRequest& request) {
  Page page;
  if (request.page_size() < 0 ||
      request.page_size() > static_cast<int>(kMaxPage)) {
    return FieldError("page_size", fmt::format("must be from 0 to {}, not {}",
                                               kMaxPage, request.page_size()));
  }
  if (request.page_size() > 0) {
    page.size = static_cast<size_t>(request.page_size());
  }
  if (!request.page_token().empty()) {
    const absl::StatusOr<Uuid> after = ParseUuid(request.page_token());
    if (!after.ok()) {
      return FieldError("page_token", "is none that this service gave");
    }
    page.after = *after;
  }
  return page;
}

v1::Vm ToWire(const inventory::VmRecord& vm) {
  v1::Vm wire;
  wire.set_uuid(ToString(vm.uuid));
  wire.set_name(vm.name);
  wire.set_state(State(vm.state));
  wire.set_persistent(vm.persistent);
  if (vm.last_measurement) {
    *wire.mutable_last_measurement() = ToWire(*vm.last_measurement);
  }
  return wire;
}

v1::UnmanagedVm ToWire(const kvm::VmProcess& process) {
  v1::UnmanagedVm wire;
  wire.set_pid(process.id.pid);
  wire.set_start_ticks(process.id.start_ticks);
  wire.set_command(process.command);
  wire.set_accelerator(std::string(kvm::ToString(process.accelerator)));
  wire.set_uid(process.uid);
  wire.set_seen_unix_ms(process.seen_unix_ms);
  return wire;
}

v1::MeasureConfigResponse ToWire(
    const measurement::DomainMeasurement& measurement) {
  v1::MeasureConfigResponse wire;
  wire.set_vm_uuid(measurement.uuid);
  wire.set_vm_name(measurement.name);
  wire.set_algorithm(ToWire(measurement.tree.algorithm));
  wire.set_root(measurement.tree.root.data(), measurement.tree.root.size());
  for (const ConfigLeaf& leaf : measurement.tree.leaves) {
    AddLeaf(leaf, wire.mutable_leaves());
  }
  for (const ConfigSubtree& subtree : measurement.tree.subtrees) {
    v1::LeafSubtree* to = wire.add_subtrees();
    to->set_path(subtree.path);
    for (const ConfigLeaf& leaf : subtree.leaves) {
      AddLeaf(leaf, to->mutable_leaves());
    }
  }
  for (const std::string& warning : measurement.warnings) {
    wire.add_warnings(warning);
  }
  return wire;
}

v1::WatchEventsResponse ToWire(const attestor::WatchedEvent& event) {
  v1::WatchEventsResponse wire;
  wire.set_sequence(event.record.sequence);
  wire.set_time_unix_ms(event.record.time_unix_ms);
  wire.set_vm_uuid(ToString(event.record.uuid));
  wire.set_vm_name(event.record.name);
  wire.set_kind(event.record.kind);
  if (event.record.measurement) {
    *wire.mutable_measurement() = ToWire(*event.record.measurement);
  }
  wire.set_bytes_done(event.bytes_done);
  wire.set_bytes_total(event.bytes_total);
  wire.set_changed(event.record.changed);
  return wire;
}

}  // namespace vmattest::rpc
