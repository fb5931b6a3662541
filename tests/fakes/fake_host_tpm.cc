#include "fakes/fake_host_tpm.h"

#include <fmt/format.h>

#include <thread>
#include <utility>

#include "crypto/digest.h"

namespace vmattest::testing {
namespace {

constexpr uint32_t kLastBootPcr = 7;
constexpr uint32_t kLogPcr = 13;
constexpr size_t kQualifyingDataSize = 32;

}  // namespace

FakeHostTpm::FakeHostTpm(std::string hostname) : host_(std::move(hostname)) {
  const MutexLock lock(mutex_);
  Boot();
}

void FakeHostTpm::Boot() {
  pcrs_.bank = kTpmAlgSha256;
  for (uint32_t index = 0; index <= kLastBootPcr; ++index) {
    pcrs_.values[index] =
        Hash(HashAlgorithm::kSha256, AsBytes(fmt::format("boot {}", index)));
  }
  pcrs_.values[kLogPcr] = DigestBytes(32, 0);
}

absl::Status FakeHostTpm::TakeFailure() {
  if (failures_left_ > 0) {
    --failures_left_;
    return failure_;
  }
  return absl::OkStatus();
}

absl::Status FakeHostTpm::Provision() {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(TakeFailure());
  provisioned_ = true;
  return absl::OkStatus();
}

absl::StatusOr<evidence::HostIdentity> FakeHostTpm::GetIdentity() {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(TakeFailure());
  if (!provisioned_) {
    return absl::FailedPreconditionError("the TPM is not provisioned");
  }
  return host_.Identity();
}

absl::StatusOr<tpm::Quote> FakeHostTpm::MakeQuote(KeyPurpose purpose,
                                                  ByteView qualifying_data) {
  const MutexLock lock(mutex_);
  std::this_thread::sleep_for(delay_);
  RETURN_IF_ERROR(TakeFailure());
  if (!provisioned_) {
    return absl::FailedPreconditionError("the TPM is not provisioned");
  }
  if (qualifying_data.size() != kQualifyingDataSize) {
    return absl::InvalidArgumentError(fmt::format(
        "qualifying data of {} bytes, not 32", qualifying_data.size()));
  }
  const SoftKey& key = host_.purpose_keys.at(purpose);
  evidence::Attest attest = {.magic = evidence::kTpmGenerated,
                             .type = evidence::kTpmStAttestQuote,
                             .qualified_signer = key.qualified_name(),
                             .extra_data = ToBytes(qualifying_data),
                             .clock = clock_,
                             .firmware_version = 0x2024'0123'0000'0000,
                             .pcr_selections = {{.bank = pcrs_.bank}},
                             .pcr_digest = {},
                             .certified_name = {},
                             .certified_qualified_name = {}};
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
  RETURN_IF_ERROR(TakeFailure());
  if (!provisioned_) {
    return absl::FailedPreconditionError("the TPM is not provisioned");
  }
  return clock_;
}

void FakeHostTpm::AdvanceClock(std::chrono::milliseconds step) {
  const MutexLock lock(mutex_);
  clock_.clock_ms += static_cast<uint64_t>(step.count());
}

void FakeHostTpm::ExtendPcr(uint32_t index, ByteView digest) {
  const MutexLock lock(mutex_);
  ByteWriter content;
  content.Raw(pcrs_.values.at(index)).Raw(digest);
  pcrs_.values[index] = Hash(HashAlgorithm::kSha256, content.bytes());
}

void FakeHostTpm::ZeroPcr(uint32_t index) {
  const MutexLock lock(mutex_);
  pcrs_.values.at(index).assign(32, 0);
}

void FakeHostTpm::Reset() {
  const MutexLock lock(mutex_);
  ++clock_.reset_count;
  clock_.restart_count = 0;
  Boot();
  failures_left_ = 1;
  failure_ = absl::UnavailableError("the TPM was reset");
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

}  // namespace vmattest::testing
