#include <algorithm>
#include <chrono>

#include "evidence/envelope.h"
#include "evidence/tpm_structures.h"
#include "fmt/format.h"
#include "tpm/esys/esys_connection.h"
#include "tpm/esys/esys_epochs.h"

// Purpose keys and their epochs. A key is in the TPM before it is in the pin
// file and leaves the pin file's living before it leaves the TPM: whatever a
// crash leaves over is of no use to anybody, and goes when the TPM is opened.

namespace vmattest::tpm {
namespace {

using State = KeyEpoch::State;

int64_t NowUnixMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

absl::Status NoSuchKey(KeyPurpose purpose, uint32_t epoch) {
  return absl::NotFoundError(
      fmt::format("there is no key {}", EpochLabel(purpose, epoch)));
}

// `key_session` is salted, the AK's is not: an authValue of 256 bits keys it.
absl::StatusOr<Certification> CertifyByAk(EsysContext& context,
                                          EsysSession& key_session,
                                          const SigningKey& key,
                                          const SigningKey& ak,
                                          ByteView qualifying_data) {
  ASSIGN_OR_RETURN(const std::unique_ptr<EsysSession> ak_session,
                   EsysSession::Start(context, ESYS_TR_NONE));
  ASSIGN_OR_RETURN(
      Certification made,
      CertifyKey(context, key_session, *ak_session, key, ak, qualifying_data));
  if (!IsWordOfAk(made.certify_info, made.signature, ak.public_area,
                  key.public_area, qualifying_data)) {
    return absl::DataLossError("a certification that does not verify");
  }
  return made;
}

absl::StatusOr<evidence::KeyCertification> CertifyEpoch(
    EsysContext& context, EsysSession& session, const SigningKey& key,
    const SigningKey& ak, KeyPurpose purpose, uint32_t epoch) {
  ASSIGN_OR_RETURN_WITH(
      Certification made,
      CertifyByAk(context, session, key, ak,
                  evidence::CertifyQualifyingData(purpose, epoch)),
      EpochLabel(purpose, epoch));
  return evidence::KeyCertification{
      .purpose = purpose,
      .epoch = epoch,
      .public_area = key.public_area,
      .certify_info = std::move(made.certify_info),
      .signature = std::move(made.signature)};
}

absl::StatusOr<bool> EvictPinned(EsysContext& context, EsysSession& session,
                                 TPM2_HANDLE handle, const KeyEpoch& key,
                                 const SecretBytes& owner_auth) {
  ASSIGN_OR_RETURN(const Bytes name,
                   evidence::NameOf(key.certification.public_area));
  return EvictIfNamed(context, session, handle, name, owner_auth);
}

// The epoch whose key is in the slot that `epoch` wants, if there is one.
const KeyEpoch* FindTenant(const std::vector<KeyEpoch>& keys,
                           KeyPurpose purpose, uint32_t epoch) {
  const auto found =
      std::find_if(keys.begin(), keys.end(), [&](const KeyEpoch& key) {
        return IsKept(key) && key.certification.purpose == purpose &&
               EpochHandle(0, purpose, key.certification.epoch) ==
                   EpochHandle(0, purpose, epoch);
      });
  return found == keys.end() ? nullptr : &*found;
}

}  // namespace

absl::Status EsysHostTpm::LoadAk(Connection& connection) {
  const uint32_t base = options_.persistent_handle_base;
  ASSIGN_OR_RETURN(connection.ak, LoadOrCreateSigningKey(
                                      *connection.context, *connection.session,
                                      {"ak", base}, Authorizations()));
  if (pin_ && connection.ak.name != pin_->ak_name) {
    return NeedsReEnrolment(
        fmt::format("the AK at {:#x} is not the pinned one", base));
  }
  return absl::OkStatus();
}

absl::Status EsysHostTpm::LoadPurposeKeys(Connection& connection) {
  for (KeyEpoch& key : connection.pin.keys) {
    if (key.since_unix_ms == 0) {
      key.since_unix_ms = NowUnixMs();  // the first pin file did not know
    }
  }
  for (const KeyPurpose purpose : options_.purposes) {
    RETURN_IF_ERROR(LoadPurposeKey(connection, purpose));
  }
  return absl::OkStatus();
}

absl::Status EsysHostTpm::LoadPurposeKey(Connection& connection,
                                         KeyPurpose purpose) {
  std::vector<KeyEpoch>& keys = connection.pin.keys;
  KeyEpoch* active = FindActive(keys, purpose);
  const uint32_t epoch = active != nullptr ? active->certification.epoch
                                           : NextEpoch(keys, purpose);
  const std::string label = EpochLabel(purpose, epoch);
  ASSIGN_OR_RETURN(
      const SigningKey key,
      LoadOrCreateSigningKey(
          *connection.context, *connection.session,
          {label, EpochHandle(options_.persistent_handle_base, purpose, epoch)},
          Authorizations()));
  if (active != nullptr &&
      active->certification.public_area != key.public_area) {
    return NeedsReEnrolment(
        fmt::format("the {} key is not the pinned one", label));
  }
  connection.keys[purpose] = key;
  if (active != nullptr &&
      Certifies(active->certification, connection.ak.public_area)) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(evidence::KeyCertification made,
                   CertifyEpoch(*connection.context, *connection.session, key,
                                connection.ak, purpose, epoch));
  if (active != nullptr) {
    active->certification = std::move(made);
  } else {
    InsertEpoch(keys, {.certification = std::move(made),
                       .state = State::kActive,
                       .since_unix_ms = NowUnixMs()});
  }
  return absl::OkStatus();
}

absl::Status EsysHostTpm::RemoveLeftKeys(Connection& connection) {
  EsysContext& context = *connection.context;
  EsysSession& session = *connection.session;
  for (const KeyPurpose purpose : options_.purposes) {
    const uint32_t next = NextEpoch(pin_->keys, purpose);
    const uint32_t first = next > kEpochSlots ? next - kEpochSlots + 1 : 1;
    for (uint32_t epoch = first; epoch <= next; ++epoch) {
      const SigningKeySpec spec = {
          EpochLabel(purpose, epoch),
          EpochHandle(options_.persistent_handle_base, purpose, epoch)};
      if (FindTenant(pin_->keys, purpose, epoch) != nullptr ||
          std::count(connection.handles.begin(), connection.handles.end(),
                     spec.handle) == 0) {
        continue;
      }
      const KeyEpoch* gone = FindEpoch(pin_->keys, purpose, epoch);
      const absl::StatusOr<bool> removed =
          gone != nullptr
              ? EvictPinned(context, session, spec.handle, *gone,
                            options_.owner_auth)
              : EvictIfMade(context, session, spec, Authorizations());
      // Who may not remove keys can still attest.
      if (!removed.ok() && !absl::IsFailedPrecondition(removed.status())) {
        return removed.status();
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<KeyEpoch>> EsysHostTpm::ListKeys() {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(CheckProvisioned());
  return pin_->keys;
}

absl::StatusOr<evidence::KeyCertification> EsysHostTpm::RotateKey(
    KeyPurpose purpose) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(CheckProvisioned());
  RETURN_IF_ERROR(Rotate(purpose));
  return FindActive(pin_->keys, purpose)->certification;
}

absl::Status EsysHostTpm::Rotate(KeyPurpose purpose) {
  if (FindActive(pin_->keys, purpose) == nullptr) {
    return NoSuchKey(purpose, NextEpoch(pin_->keys, purpose) - 1);
  }
  const uint32_t epoch = NextEpoch(pin_->keys, purpose);
  if (const KeyEpoch* tenant = FindTenant(pin_->keys, purpose, epoch)) {
    return absl::ResourceExhaustedError(
        fmt::format("the place for key {} is taken: retire key {} first",
                    EpochLabel(purpose, epoch),
                    EpochLabel(purpose, tenant->certification.epoch)));
  }
  SigningKey key;
  evidence::KeyCertification made;
  const absl::Status ran = Run([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(
        key, LoadOrCreateSigningKey(
                 *connection.context, *connection.session,
                 {EpochLabel(purpose, epoch),
                  EpochHandle(options_.persistent_handle_base, purpose, epoch)},
                 Authorizations()));
    ASSIGN_OR_RETURN(made,
                     CertifyEpoch(*connection.context, *connection.session, key,
                                  connection.ak, purpose, epoch));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(ran);
  TpmPin next = *pin_;
  KeyEpoch* active = FindActive(next.keys, purpose);
  active->state = State::kOverlap;
  active->since_unix_ms = NowUnixMs();
  InsertEpoch(next.keys, {.certification = std::move(made),
                          .state = State::kActive,
                          .since_unix_ms = NowUnixMs()});
  RETURN_IF_ERROR(TakePin(std::move(next)));
  connection_->keys[purpose] = std::move(key);
  return absl::OkStatus();
}

absl::Status EsysHostTpm::Remove(const KeyEpoch& key) {
  const uint32_t handle =
      EpochHandle(options_.persistent_handle_base, key.certification.purpose,
                  key.certification.epoch);
  return Run([&](Connection& connection) {
    return EvictPinned(*connection.context, *connection.session, handle, key,
                       options_.owner_auth)
        .status();
  });
}

absl::Status EsysHostTpm::RetireKey(KeyPurpose purpose, uint32_t epoch) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(CheckProvisioned());
  TpmPin next = *pin_;
  KeyEpoch* key = FindEpoch(next.keys, purpose, epoch);
  if (key == nullptr) {
    return NoSuchKey(purpose, epoch);
  }
  switch (key->state) {
    case State::kActive:
      return absl::FailedPreconditionError(fmt::format(
          "key {} is active: rotate it first", EpochLabel(purpose, epoch)));
    case State::kOverlap:
      key->state = State::kRetired;
      key->since_unix_ms = NowUnixMs();
      RETURN_IF_ERROR(TakePin(std::move(next)));
      break;
    case State::kRetired:
    case State::kRevoked:
      break;
  }
  return Remove(*FindEpoch(pin_->keys, purpose, epoch));
}

absl::StatusOr<evidence::KeyRevocation> EsysHostTpm::RevokeKey(
    KeyPurpose purpose, uint32_t epoch) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(CheckProvisioned());
  const KeyEpoch* known = FindEpoch(pin_->keys, purpose, epoch);
  if (known == nullptr) {
    return NoSuchKey(purpose, epoch);
  }
  if (known->state == State::kRetired) {
    return absl::FailedPreconditionError(
        fmt::format("key {} is retired: it is not in the TPM, which can say "
                    "nothing about it any more",
                    EpochLabel(purpose, epoch)));
  }
  if (known->state == State::kActive) {
    RETURN_IF_ERROR_WITH(Rotate(purpose), "rotating the key to be revoked");
  }
  if (FindEpoch(pin_->keys, purpose, epoch)->state == State::kOverlap) {
    RETURN_IF_ERROR(Revoke(purpose, epoch));
  }
  RETURN_IF_ERROR(Remove(*FindEpoch(pin_->keys, purpose, epoch)));
  const auto made = std::find_if(
      pin_->revocations.begin(), pin_->revocations.end(),
      [&](const evidence::KeyRevocation& revocation) {
        return revocation.purpose == purpose && revocation.epoch == epoch;
      });
  if (made == pin_->revocations.end()) {
    return absl::FailedPreconditionError(
        fmt::format("{}: key {} is revoked, but its revocation is missing",
                    options_.pin_file.string(), EpochLabel(purpose, epoch)));
  }
  return *made;
}

absl::Status EsysHostTpm::Revoke(KeyPurpose purpose, uint32_t epoch) {
  TpmPin next = *pin_;
  KeyEpoch* key = FindEpoch(next.keys, purpose, epoch);
  const Bytes qualifying = evidence::RevokeQualifyingData(purpose, epoch);
  evidence::KeyRevocation revocation{.purpose = purpose, .epoch = epoch};
  const absl::Status ran = Run([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(
        const SigningKey found,
        LoadOrCreateSigningKey(
            *connection.context, *connection.session,
            {EpochLabel(purpose, epoch),
             EpochHandle(options_.persistent_handle_base, purpose, epoch)},
            Authorizations()));
    if (found.public_area != key->certification.public_area) {
      return NeedsReEnrolment(fmt::format("the {} key is not the pinned one",
                                          EpochLabel(purpose, epoch)));
    }
    ASSIGN_OR_RETURN(Certification made,
                     CertifyByAk(*connection.context, *connection.session,
                                 found, connection.ak, qualifying));
    revocation.key_name = found.name;
    revocation.certify_info = std::move(made.certify_info);
    revocation.signature = std::move(made.signature);
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(ran);
  key->state = State::kRevoked;
  key->since_unix_ms = NowUnixMs();
  next.revocations.push_back(std::move(revocation));
  return TakePin(std::move(next));
}

}  // namespace vmattest::tpm
