#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "base/file.h"
#include "crypto/ecdsa.h"
#include "verifier/host_check.h"
#include "verifier/key_certification.h"
#include "verifier/sealed_seed.h"
#include "vmattest/verifier/verifier.h"
#include "wire/codec.h"

namespace vmattest::verifier {
namespace {

constexpr size_t kMaxAnchorFile = 1u << 20;

absl::Status Refused(const CheckResult& result) {
  const Reason& reason = result.reasons().front();
  return absl::InvalidArgumentError(fmt::format("{}: {}: expected {}, found {}",
                                                reason.code, reason.element,
                                                reason.expected, reason.found));
}

absl::Status ToStatus(const CheckResult& result) {
  return result.passed() ? absl::OkStatus() : Refused(result);
}

absl::StatusOr<Anchors::Host> ParseHost(std::string_view json) {
  ASSIGN_OR_RETURN(evidence::HostIdentity identity,
                   wire::HostIdentityFromJson(json));
  Anchors::Host host;
  RETURN_IF_ERROR(ToStatus(CheckHostIdentity(std::move(identity), host)));
  return host;
}

// An identity from before the event log existed has none.
absl::Status MergeLogIndex(const Bytes& log_index,
                           evidence::HostIdentity& identity) {
  if (identity.log_index.empty()) {
    identity.log_index = log_index;
  } else if (!log_index.empty() && log_index != identity.log_index) {
    return absl::InvalidArgumentError(
        fmt::format("host {} is pinned with another event log index already",
                    identity.host_id));
  }
  return absl::OkStatus();
}

}  // namespace

Anchors::Anchors() = default;
Anchors::Anchors(Anchors&&) noexcept = default;
Anchors& Anchors::operator=(Anchors&&) noexcept = default;
Anchors::~Anchors() = default;

absl::Status Anchors::Add(std::string_view json) {
  ASSIGN_OR_RETURN(Host host, ParseHost(json));
  const auto known = hosts_.find(host.identity.host_id);
  if (known == hosts_.end()) {
    std::string host_id = host.identity.host_id;
    hosts_.emplace(std::move(host_id), std::move(host));
    return absl::OkStatus();
  }
  if (known->second.ak.name != host.ak.name) {
    return absl::InvalidArgumentError(fmt::format(
        "host {} is pinned with another AK already", host.identity.host_id));
  }
  Host merged = known->second;
  RETURN_IF_ERROR(ToStatus(AddKeys(host.identity.keys, merged)));
  RETURN_IF_ERROR(ToStatus(AddRevocations(host.identity.revocations, merged)));
  RETURN_IF_ERROR(AddPqKeys(host.identity, merged));
  RETURN_IF_ERROR(MergeLogIndex(host.identity.log_index, merged.identity));
  known->second = std::move(merged);
  return absl::OkStatus();
}

absl::StatusOr<Anchors> Anchors::LoadFolder(const std::string& path) {
  std::error_code error;
  std::vector<std::filesystem::path> files;
  std::filesystem::directory_iterator entry(path, error);
  for (; !error && entry != std::filesystem::directory_iterator();
       entry.increment(error)) {
    if (entry->path().extension() == ".json") {
      files.push_back(entry->path());
    }
  }
  if (error) {
    return ErrnoStatus(error.value(), "anchors in " + path);
  }
  if (files.empty()) {
    return absl::NotFoundError(
        fmt::format("anchors in {}: no *.json there", path));
  }
  std::sort(files.begin(), files.end());
  Anchors anchors;
  for (const std::filesystem::path& file : files) {
    ASSIGN_OR_RETURN(const Bytes json, ReadFile(file, kMaxAnchorFile));
    RETURN_IF_ERROR_WITH(anchors.Add(AsText(json)), file.string());
  }
  return anchors;
}

std::vector<std::string> Anchors::host_ids() const {
  std::vector<std::string> ids;
  for (const auto& [host_id, host] : hosts_) {
    ids.push_back(host_id);
  }
  return ids;
}

absl::StatusOr<std::string> Anchors::AkPem(std::string_view host_id) const {
  const Host* host = Find(host_id);
  if (host == nullptr) {
    return absl::NotFoundError(fmt::format("no anchor for host {}", host_id));
  }
  return ToPem(host->ak.key);
}

const Anchors::Host* Anchors::Find(std::string_view host_id) const {
  const auto found = hosts_.find(host_id);
  return found == hosts_.end() ? nullptr : &found->second;
}

}  // namespace vmattest::verifier
