#include <algorithm>
#include <set>
#include <utility>

#include "base/file.h"
#include "evidence/tpm_structures.h"
#include "fmt/format.h"
#include "tpm/esys/esys_connection.h"
#include "tpm/esys/esys_epochs.h"

// A host gives up the identity that is pinned and takes the one that its TPM
// now has. The old pin file is in force until the new one replaces it.

namespace vmattest::tpm {
namespace {

constexpr size_t kPrefixSize = 16;
constexpr int kMaxAside = 10'000;

std::string HostId(const TpmPin& pin) {
  return ToHex(
      ByteView(pin.ek_name).subspan(std::min<size_t>(2, pin.ek_name.size())));
}

// What a key at this place is, as far as its handle tells.
SigningKeySpec SpecAt(uint32_t base, TPM2_HANDLE handle) {
  const uint32_t purpose = (handle - base) % kHandlesPerEpoch;
  const uint32_t epoch = (handle - base) / kHandlesPerEpoch + 1;
  if (handle == base) {
    return {"ak", handle};
  }
  return {EpochLabel(static_cast<KeyPurpose>(purpose), epoch), handle};
}

}  // namespace

absl::Status EsysHostTpm::ReEnroll(std::string_view host_id) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(CheckOptions());
  if (!pin_) {
    ASSIGN_OR_RETURN(pin_, LoadPin(options_.pin_file));
  }
  if (!pin_) {
    return absl::InvalidArgumentError(
        "no host is enrolled here: there is no identity to give up");
  }
  if (host_id != HostId(*pin_)) {
    return absl::InvalidArgumentError(fmt::format(
        "'{}' is not the id of the host that is enrolled here", host_id));
  }
  former_ = std::exchange(pin_, std::nullopt);
  const TpmClock former_clock = std::exchange(last_clock_, TpmClock());
  connection_.reset();
  log_reset_count_.reset();
  log_pcr_.clear();
  absl::StatusOr<std::unique_ptr<Connection>> opened = Open();
  if (opened.ok()) {
    connection_ = *std::move(opened);
  } else if (!pin_) {
    pin_ = std::move(former_);
    last_clock_ = former_clock;
  }
  former_.reset();
  return opened.status();
}

absl::Status EsysHostTpm::InheritFormer(Connection& connection) {
  const uint32_t base = options_.persistent_handle_base;
  EsysContext& context = *connection.context;
  EsysSession& session = *connection.session;
  std::set<Bytes> names = {former_->ak_name};
  for (const KeyEpoch& key : former_->keys) {
    ASSIGN_OR_RETURN(Bytes name,
                     evidence::NameOf(key.certification.public_area));
    names.insert(std::move(name));
  }
  for (const TPM2_HANDLE handle : connection.handles) {
    ASSIGN_OR_RETURN(const ESYS_TR object,
                     context.Find(handle, "finding an old key"));
    const absl::StatusOr<Bytes> area = context.PublicArea(object);
    context.Forget(object);
    RETURN_IF_ERROR(area.status());
    const absl::StatusOr<Bytes> name = evidence::NameOf(*area);
    // If it is not pinned, another installation may have made it here, with
    // its own authorisation.
    const absl::Status removed =
        name.ok() && names.count(*name) != 0
            ? EvictIfNamed(context, session, handle, *name, options_.owner_auth)
                  .status()
            : EvictIfMade(context, session, SpecAt(base, handle),
                          Authorizations())
                  .status();
    RETURN_IF_ERROR(removed);
  }
  connection.handles.clear();
  if (former_->ek_name == connection.ek_name) {
    // The same seed would make the same keys again, revoked ones too.
    connection.pin.keys = former_->keys;
    connection.pin.revocations = former_->revocations;
    for (KeyEpoch& key : connection.pin.keys) {
      if (IsKept(key)) {
        key.state = KeyEpoch::State::kRetired;
      }
    }
  }
  return absl::OkStatus();
}

absl::Status EsysHostTpm::PutFormerAside() {
  const std::string prefix =
      fmt::format("{}.{}.", options_.pin_file.string(),
                  HostId(*former_).substr(0, kPrefixSize));
  for (int number = 1; number < kMaxAside; ++number) {
    const std::filesystem::path path = fmt::format("{}{}", prefix, number);
    std::error_code error;
    if (!std::filesystem::exists(path, error) && !error) {
      return Annotate(WriteFileAtomic(path, AsBytes(EncodePin(*former_)), 0600),
                      "putting the old identity aside");
    }
  }
  return absl::ResourceExhaustedError(
      fmt::format("there are too many files {}*", prefix));
}

}  // namespace vmattest::tpm
