#include "fakes/fake_host_tpm.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "crypto/digest.h"
#include "evidence/envelope.h"

namespace vmattest::testing {
namespace {

constexpr uint32_t kLastBootPcr = 7;
constexpr uint32_t kLogPcr = 13;
constexpr size_t kQualifyingDataSize = 32;
constexpr uint32_t kLogIndex = 0x01C10F00;
// AUTHWRITE, OWNERREAD, AUTHREAD, NO_DA, WRITTEN, as esys_nv.cc defines it.
constexpr uint32_t kLogIndexAttributes = 0x22060004;
constexpr uint16_t kAnchorSize = 40;

using AnchorState = tpm::LogRegisters::Anchor;
using KeyState = tpm::KeyEpoch::State;

absl::Status CheckDigest(ByteView digest, std::string_view what) {
  if (digest.size() != kQualifyingDataSize) {
    return absl::InvalidArgumentError(
        fmt::format("{} of {} bytes, not 32", what, digest.size()));
  }
  return absl::OkStatus();
}

}  // namespace

FakeHostTpm::FakeHostTpm(std::string hostname) {
  const MutexLock lock(mutex_);
  hosts_.push_back(std::make_unique<SoftHost>(std::move(hostname)));
  Boot();
  Enrol();
}

void FakeHostTpm::Boot() {
  pcrs_.bank = kTpmAlgSha256;
  for (uint32_t index = 0; index <= kLastBootPcr; ++index) {
    pcrs_.values[index] =
        Hash(HashAlgorithm::kSha256, AsBytes(fmt::format("boot {}", index)));
  }
  pcrs_.values[kLogPcr] = DigestBytes(32, 0);
}

void FakeHostTpm::Enrol() {
  keys_.clear();
  for (auto& [purpose, key] : hosts_.back()->purpose_keys) {
    AddEpoch(purpose, key.Copy());
  }
}

int64_t FakeHostTpm::NowUnixMs() const {
  return (wall_ != nullptr ? wall_->Now() : SystemClock().Now())
      .time_since_epoch()
      .count();
}

FakeHostTpm::Epoch& FakeHostTpm::AddEpoch(KeyPurpose purpose, SoftKey key) {
  const SoftHost& host = *hosts_.back();
  std::vector<Epoch>& epochs = keys_[purpose];
  const auto number = static_cast<uint32_t>(epochs.size() + 1);
  evidence::Attest info = host.CertifyInfo(purpose, key);
  info.extra_data = evidence::CertifyQualifyingData(purpose, number);
  tpm::KeyEpoch epoch{.certification = host.CertifyWith(purpose, key, info),
                      .state = KeyState::kActive,
                      .since_unix_ms = NowUnixMs()};
  epoch.certification.epoch = number;
  epochs.push_back({.key = std::move(key),
                    .info = std::move(epoch),
                    .revocation = std::nullopt});
  return epochs.back();
}

absl::Status FakeHostTpm::TakeFailure() {
  if (failures_left_ > 0) {
    --failures_left_;
    return failure_;
  }
  return absl::OkStatus();
}

absl::Status FakeHostTpm::Ready() {
  RETURN_IF_ERROR(TakeFailure());
  if (!provisioned_) {
    return absl::FailedPreconditionError("the TPM is not provisioned");
  }
  return absl::OkStatus();
}

evidence::Attest FakeHostTpm::AttestBy(const SoftKey& signer, uint16_t type,
                                       ByteView extra_data) const {
  evidence::Attest attest;
  attest.magic = evidence::kTpmGenerated;
  attest.type = type;
  attest.qualified_signer = signer.qualified_name();
  attest.extra_data = ToBytes(extra_data);
  attest.clock = clock_;
  attest.firmware_version = 0x2024'0123'0000'0000;
  return attest;
}

absl::Status FakeHostTpm::Provision() {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(TakeFailure());
  if (cleared_) {
    return absl::FailedPreconditionError(
        "needs re-enrolment: the TPM was cleared or replaced");
  }
  provisioned_ = true;
  return absl::OkStatus();
}

absl::StatusOr<evidence::HostIdentity> FakeHostTpm::GetIdentity() {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(Ready());
  evidence::HostIdentity identity = hosts_.back()->Identity();
  identity.keys.clear();
  for (const auto& [purpose, epochs] : keys_) {
    for (const Epoch& epoch : epochs) {
      identity.keys.push_back(epoch.info.certification);
      if (epoch.revocation) {
        identity.revocations.push_back(*epoch.revocation);
      }
    }
  }
  if (anchor_.state != AnchorState::kUndefined) {
    identity.log_index = LogIndexPublic();
  }
  return identity;
}

absl::StatusOr<tpm::Quote> FakeHostTpm::MakeQuote(KeyPurpose purpose,
                                                  ByteView qualifying_data) {
  const MutexLock lock(mutex_);
  std::this_thread::sleep_for(delay_);
  RETURN_IF_ERROR(Ready());
  RETURN_IF_ERROR(CheckDigest(qualifying_data, "qualifying data"));
  const auto active = std::find_if(
      keys_[purpose].begin(), keys_[purpose].end(),
      [](const Epoch& e) { return e.info.state == KeyState::kActive; });
  const SoftKey& key = active->key;
  evidence::Attest attest =
      AttestBy(key, evidence::kTpmStAttestQuote, qualifying_data);
  attest.pcr_selections = {{.bank = pcrs_.bank, .indexes = {}}};
  for (const auto& [index, value] : pcrs_.values) {
    attest.pcr_selections.front().indexes.push_back(index);
  }
  ASSIGN_OR_RETURN(
      attest.pcr_digest,
      evidence::PcrDigest(kTpmAlgSha256, attest.pcr_selections, {pcrs_}));
  tpm::Quote quote;
  quote.key_name = key.name();
  quote.quoted = EncodeAttest(attest);
  quote.signature = key.Sign(quote.quoted);
  quote.pcr_banks = {pcrs_};
  ++quotes_made_;
  return quote;
}

absl::StatusOr<TpmClock> FakeHostTpm::ReadClock() {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(Ready());
  return clock_;
}

absl::StatusOr<std::vector<tpm::KeyEpoch>> FakeHostTpm::ListKeys() {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(Ready());
  std::vector<tpm::KeyEpoch> list;
  for (const auto& [purpose, epochs] : keys_) {
    for (const Epoch& epoch : epochs) {
      list.push_back(epoch.info);
    }
  }
  return list;
}

absl::StatusOr<evidence::KeyCertification> FakeHostTpm::RotateKey(
    KeyPurpose purpose) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(Ready());
  for (Epoch& epoch : keys_[purpose]) {
    if (epoch.info.state == KeyState::kActive) {
      epoch.info.state = KeyState::kOverlap;
      epoch.info.since_unix_ms = NowUnixMs();
    }
  }
  return AddEpoch(purpose, SoftKey()).info.certification;
}

absl::StatusOr<FakeHostTpm::Epoch*> FakeHostTpm::FindKey(KeyPurpose purpose,
                                                         uint32_t epoch) {
  std::vector<Epoch>& epochs = keys_[purpose];
  if (epoch == 0 || epoch > epochs.size()) {
    return absl::NotFoundError(
        fmt::format("no key {} epoch {}", ToString(purpose), epoch));
  }
  return &epochs[epoch - 1];
}

absl::Status FakeHostTpm::RetireKey(KeyPurpose purpose, uint32_t epoch) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(Ready());
  ASSIGN_OR_RETURN(Epoch * key, FindKey(purpose, epoch));
  if (key->info.state == KeyState::kActive) {
    return absl::FailedPreconditionError(
        fmt::format("key {} epoch {} is active", ToString(purpose), epoch));
  }
  if (key->info.state == KeyState::kOverlap) {
    key->info.state = KeyState::kRetired;
    key->info.since_unix_ms = NowUnixMs();
  }
  return absl::OkStatus();
}

absl::StatusOr<evidence::KeyRevocation> FakeHostTpm::RevokeKey(
    KeyPurpose purpose, uint32_t epoch) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(Ready());
  ASSIGN_OR_RETURN(Epoch * key, FindKey(purpose, epoch));
  if (key->revocation) {
    return *key->revocation;
  }
  if (key->info.state == KeyState::kRetired) {
    return absl::FailedPreconditionError(fmt::format(
        "key {} epoch {} is retired already", ToString(purpose), epoch));
  }
  const SoftHost& host = *hosts_.back();
  evidence::Attest info =
      AttestBy(host.ak, evidence::kTpmStAttestCertify,
               evidence::RevokeQualifyingData(purpose, epoch));
  info.certified_name = key->key.name();
  info.certified_qualified_name = key->key.qualified_name();
  const Bytes bytes = EncodeAttest(info);
  key->revocation = {.purpose = purpose,
                     .epoch = epoch,
                     .key_name = key->key.name(),
                     .certify_info = bytes,
                     .signature = host.ak.Sign(bytes)};
  const bool was_active = key->info.state == KeyState::kActive;
  key->info.state = KeyState::kRevoked;
  key->info.since_unix_ms = NowUnixMs();
  evidence::KeyRevocation revocation = *key->revocation;
  if (was_active) {
    AddEpoch(purpose, SoftKey());
  }
  return revocation;
}

absl::Status FakeHostTpm::ReEnroll(std::string_view host_id) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(TakeFailure());
  const SoftHost& old = cleared_ ? *hosts_[hosts_.size() - 2] : *hosts_.back();
  if (host_id != old.host_id()) {
    return absl::InvalidArgumentError(
        fmt::format("'{}' is not this host's id", host_id));
  }
  cleared_ = false;
  provisioned_ = true;
  Enrol();
  return absl::OkStatus();
}

absl::StatusOr<SecretBytes> FakeHostTpm::ActivateCredential(
    ByteView credential_blob, ByteView encrypted_secret) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(Ready());
  const SoftHost& host = *hosts_.back();
  return host.ek.Activate(host.ak.name(), credential_blob, encrypted_secret);
}

absl::StatusOr<tpm::LogRegisters> FakeHostTpm::ReadLogRegisters() {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(Ready());
  return tpm::LogRegisters{.anchor = anchor_.state,
                           .size = anchor_.size,
                           .head = anchor_.head,
                           .pcr = pcrs_.values.at(kLogPcr),
                           .boot_count = boot_count_,
                           .clock = clock_};
}

absl::Status FakeHostTpm::ExtendLog(ByteView digest) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(Ready());
  RETURN_IF_ERROR(CheckDigest(digest, "a log digest"));
  ByteWriter content;
  content.Raw(pcrs_.values.at(kLogPcr)).Raw(digest);
  pcrs_.values[kLogPcr] = Hash(HashAlgorithm::kSha256, content.bytes());
  return absl::OkStatus();
}

absl::Status FakeHostTpm::WriteLogAnchor(uint64_t size, ByteView head) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(Ready());
  RETURN_IF_ERROR(CheckDigest(head, "a log head"));
  anchor_ = {
      .state = AnchorState::kWritten, .size = size, .head = ToBytes(head)};
  ++anchor_writes_;
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> FakeHostTpm::CountBoot() {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(Ready());
  return ++boot_count_;
}

Bytes FakeHostTpm::LogIndexPublic() const {
  ByteWriter area;
  area.U32(kLogIndex)
      .U16(kTpmAlgSha256)
      .U32(kLogIndexAttributes)
      .U16(0)
      .U16(kAnchorSize);
  ByteWriter sized;
  sized.U16(static_cast<uint16_t>(area.bytes().size())).Raw(area.bytes());
  return std::move(sized).Take();
}

absl::StatusOr<evidence::AnchorCertification> FakeHostTpm::CertifyLogAnchor(
    ByteView qualifying_data) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(Ready());
  RETURN_IF_ERROR(CheckDigest(qualifying_data, "qualifying data"));
  if (anchor_.state != AnchorState::kWritten) {
    return absl::FailedPreconditionError("the log's index is not written");
  }
  const SoftHost& host = *hosts_.back();
  const Bytes index = LogIndexPublic();
  evidence::Attest info =
      AttestBy(host.ak, evidence::kTpmStAttestNv, qualifying_data);
  ByteWriter name;
  name.U16(kTpmAlgSha256)
      .Raw(Hash(HashAlgorithm::kSha256, ByteView(index).subspan(2)));
  info.nv_index_name = name.bytes();
  ByteWriter contents;
  contents.U64(anchor_.size).Raw(anchor_.head);
  info.nv_contents = contents.bytes();
  const Bytes bytes = EncodeAttest(info);
  return evidence::AnchorCertification{.nv_public = index,
                                       .certify_info = bytes,
                                       .signature = host.ak.Sign(bytes)};
}

void FakeHostTpm::AdvanceClock(std::chrono::milliseconds step) {
  const MutexLock lock(mutex_);
  clock_.clock_ms += static_cast<uint64_t>(step.count());
}

void FakeHostTpm::UseClock(const Clock& clock) {
  const MutexLock lock(mutex_);
  wall_ = &clock;
  for (auto& [purpose, epochs] : keys_) {
    for (Epoch& epoch : epochs) {
      epoch.info.since_unix_ms = NowUnixMs();
    }
  }
}

void FakeHostTpm::ExtendPcr(uint32_t index, ByteView digest) {
  const MutexLock lock(mutex_);
  ByteWriter content;
  content.Raw(pcrs_.values.at(index)).Raw(digest);
  pcrs_.values[index] = Hash(HashAlgorithm::kSha256, content.bytes());
}

void FakeHostTpm::ZeroPcr(uint32_t index) { SetPcr(index, Bytes(32, 0)); }

void FakeHostTpm::SetPcr(uint32_t index, Bytes value) {
  const MutexLock lock(mutex_);
  pcrs_.values.at(index) = std::move(value);
}

Bytes FakeHostTpm::pcr(uint32_t index) const {
  const MutexLock lock(mutex_);
  return pcrs_.values.at(index);
}

void FakeHostTpm::Reset() {
  const MutexLock lock(mutex_);
  ++clock_.reset_count;
  clock_.restart_count = 0;
  Boot();
  failures_left_ = 1;
  failure_ = absl::UnavailableError("the TPM was reset");
}

void FakeHostTpm::UndefineLogAnchor() {
  const MutexLock lock(mutex_);
  anchor_ = {};
}

void FakeHostTpm::ForgeLogAnchor(uint64_t size, Bytes head) {
  const MutexLock lock(mutex_);
  anchor_ = {
      .state = AnchorState::kWritten, .size = size, .head = std::move(head)};
}

void FakeHostTpm::Clear() {
  const MutexLock lock(mutex_);
  hosts_.push_back(std::make_unique<SoftHost>(hosts_.back()->hostname));
  clock_ = {.clock_ms = 0, .reset_count = 0, .restart_count = 0, .safe = true};
  anchor_ = {};
  boot_count_ = 0;
  seal_counter_ = 0;
  seeds_.clear();
  keys_.clear();
  cleared_ = true;
  provisioned_ = false;
}

void FakeHostTpm::FailNextCalls(int count, absl::Status status) {
  const MutexLock lock(mutex_);
  failures_left_ = count;
  failure_ = std::move(status);
}

void FakeHostTpm::SetQuoteDelay(std::chrono::milliseconds delay) {
  const MutexLock lock(mutex_);
  delay_ = delay;
}

int FakeHostTpm::quotes_made() const {
  const MutexLock lock(mutex_);
  return quotes_made_;
}

int FakeHostTpm::anchor_writes() const {
  const MutexLock lock(mutex_);
  return anchor_writes_;
}

const SoftHost& FakeHostTpm::host() const {
  const MutexLock lock(mutex_);
  return *hosts_.back();
}

}  // namespace vmattest::testing
