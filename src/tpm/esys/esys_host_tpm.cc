#include "tpm/esys/esys_host_tpm.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <set>

#include "crypto/digest.h"
#include "evidence/tpm_structures.h"
#include "fmt/format.h"
#include "tpm/esys/esys_connection.h"
#include "tpm/esys/esys_epochs.h"
#include "tpm/esys/esys_log.h"
#include "tpm/esys/handles.h"

namespace vmattest::tpm {
namespace {

constexpr uint32_t kFirmwarePcrs = 8;
constexpr uint32_t kPcrCount = 24;
constexpr size_t kQualifyingSize = 32;
constexpr uint64_t kStoreClockEvery_ms = 3'600'000;
constexpr TPM2_HANDLE kFirstOwnerIndex = 0x01800000;
constexpr TPM2_HANDLE kLastOwnerIndex = 0x01BFFFFF;
// A host identity of more than 256 keys is refused by who reads it
// (docs/formats/host-identity.md).
constexpr size_t kMaxListedKeys = 200;

// tpm2-tss writes to stderr whatever a TPM refuses; a library stays silent.
void SilenceTss() {
  static std::once_flag once;
  std::call_once(once, [] { setenv("TSS2_LOG", "all+none", 0); });
}

// With the log PCR among the quoted ones (rule S1).
EsysHostTpmOptions Sorted(EsysHostTpmOptions options) {
  if (!options.pcrs.empty()) {
    options.pcrs.push_back(options.log_pcr);
  }
  std::sort(options.pcrs.begin(), options.pcrs.end());
  options.pcrs.erase(std::unique(options.pcrs.begin(), options.pcrs.end()),
                     options.pcrs.end());
  return options;
}

evidence::PcrSelection FirmwareSelection(uint16_t bank) {
  evidence::PcrSelection selection;
  selection.bank = bank;
  for (uint32_t index = 0; index < kFirmwarePcrs; ++index) {
    selection.indexes.push_back(index);
  }
  return selection;
}

// Whether they differ in the clock at most.
bool SameKeys(const TpmPin& a, TpmPin b) {
  b.last_clock = a.last_clock;
  return EncodePin(a) == EncodePin(b);
}

}  // namespace

absl::StatusOr<TpmClock> ReadTpmClock(EsysContext& context,
                                      EsysSession& session) {
  EsysPtr<TPMS_TIME_INFO> time;
  RETURN_IF_ERROR(context.Call("reading the TPM's clock", [&] {
    return Esys_ReadClock(context.get(), session.Auditing(), ESYS_TR_NONE,
                          ESYS_TR_NONE, EsysOut(time));
  }));
  return TpmClock{.clock_ms = time->clockInfo.clock,
                  .reset_count = time->clockInfo.resetCount,
                  .restart_count = time->clockInfo.restartCount,
                  .safe = time->clockInfo.safe == TPM2_YES};
}

absl::Status NeedsReEnrolment(std::string_view why) {
  return absl::FailedPreconditionError(fmt::format(
      "needs re-enrolment: {}: the TPM was replaced or cleared, so this host "
      "must be enrolled again",
      why));
}

EsysHostTpm::EsysHostTpm(EsysHostTpmOptions options)
    : options_(Sorted(std::move(options))),
      opener_([tcti = options_.tcti, timeout = options_.command_timeout] {
        return OpenTcti(tcti, timeout);
      }) {
  SilenceTss();
}

EsysHostTpm::EsysHostTpm(EsysHostTpmOptions options, TctiOpener opener)
    : options_(Sorted(std::move(options))), opener_(std::move(opener)) {
  SilenceTss();
}

EsysHostTpm::~EsysHostTpm() = default;

absl::Status EsysHostTpm::CheckOptions() const {
  RETURN_IF_ERROR(CheckLogPcr(options_.log_pcr));
  if (options_.pcrs.empty() || options_.pcrs.back() >= kPcrCount) {
    return absl::InvalidArgumentError(
        "the PCR selection is empty or names a PCR above 23");
  }
  if (options_.key_auth.empty()) {
    return absl::InvalidArgumentError("the keys' authorisation is empty");
  }
  if (options_.persistent_handle_base < TPM2_PERSISTENT_FIRST ||
      options_.persistent_handle_base >=
          TPM2_PLATFORM_PERSISTENT - kKeyHandles) {
    return absl::InvalidArgumentError(
        fmt::format("{:#x} is no base for persistent handles",
                    options_.persistent_handle_base));
  }
  std::set<uint32_t> indexes;
  for (const uint32_t index : {options_.log_index, options_.counter_index,
                               options_.seal_counter_index}) {
    if (index < kFirstOwnerIndex || index > kLastOwnerIndex ||
        !indexes.insert(index).second) {
      return absl::InvalidArgumentError(fmt::format(
          "{:#x} is no NV index of the owner's, or is given twice", index));
    }
  }
  return absl::OkStatus();
}

absl::Status EsysHostTpm::CheckProvisioned() const {
  return identity_
             ? absl::OkStatus()
             : absl::FailedPreconditionError("the TPM was not provisioned yet");
}

KeyAuthorizations EsysHostTpm::Authorizations() const {
  return {options_.key_auth, options_.owner_auth, options_.endorsement_auth};
}

absl::Status EsysHostTpm::Provision() {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(CheckOptions());
  // A round trip, so that a connection that went stale is noticed.
  return Run([](Connection& connection) {
    return ReadTpmClock(*connection.context, *connection.session).status();
  });
}

absl::StatusOr<evidence::HostIdentity> EsysHostTpm::GetIdentity() {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(CheckProvisioned());
  return *identity_;
}

absl::StatusOr<Quote> EsysHostTpm::MakeQuote(KeyPurpose purpose,
                                             ByteView qualifying_data) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(CheckProvisioned());
  if (qualifying_data.size() != kQualifyingSize) {
    return absl::InvalidArgumentError(
        fmt::format("qualifying data of {} bytes", qualifying_data.size()));
  }
  Quote quote;
  TpmClock clock;
  const absl::Status made_one =
      Run([&](Connection& connection) -> absl::Status {
        const auto key = connection.keys.find(purpose);
        if (key == connection.keys.end()) {
          return absl::NotFoundError(
              fmt::format("there is no key for purpose {}", ToString(purpose)));
        }
        ASSIGN_OR_RETURN(SignedQuote made,
                         QuoteWithPcrs(*connection.context, *connection.session,
                                       key->second, qualifying_data,
                                       connection.selection, connection.pcrs));
        quote = {.key_name = key->second.name,
                 .quoted = std::move(made.quoted),
                 .signature = std::move(made.signature),
                 .pcr_banks = {connection.pcrs}};
        clock = made.attest.clock;
        return absl::OkStatus();
      });
  RETURN_IF_ERROR(made_one);
  RETURN_IF_ERROR(NoteClock(clock));
  return quote;
}

absl::StatusOr<TpmClock> EsysHostTpm::ReadClock() {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(CheckProvisioned());
  TpmClock clock;
  const absl::Status was_read =
      Run([&](Connection& connection) -> absl::Status {
        ASSIGN_OR_RETURN(
            clock, ReadTpmClock(*connection.context, *connection.session));
        return absl::OkStatus();
      });
  RETURN_IF_ERROR(was_read);
  RETURN_IF_ERROR(NoteClock(clock));
  return clock;
}

absl::Status EsysHostTpm::Run(const Command& command) {
  for (bool again = true;; again = false) {
    RETURN_IF_ERROR(EnsureOpen());
    absl::Status status = command(*connection_);
    if (status.ok()) {
      return status;
    }
    if (status.code() == absl::StatusCode::kDataLoss) {
      connection_.reset();
      return status;
    }
    switch (connection_->context->fault()) {
      case EsysFault::kNone:
      case EsysFault::kBusy:
      case EsysFault::kOther:
        return status;
      case EsysFault::kGone:
      case EsysFault::kAltered:
        connection_.reset();
        return status;
      case EsysFault::kRefused:
        // Opening proved the authorisation. Once it may be another client that
        // took over the session's number.
        status = absl::DataLossError(
            fmt::format("{}: commands are altered on their way to the TPM",
                        std::string_view(status.message().data(),
                                         status.message().size())));
        [[fallthrough]];
      case EsysFault::kOwnerRefused:
      case EsysFault::kSessionLost:
      case EsysFault::kNoHandle:
        connection_.reset();
        if (!again) {
          return status;
        }
    }
  }
}

absl::Status EsysHostTpm::EnsureOpen() {
  if (connection_ == nullptr) {
    ASSIGN_OR_RETURN(connection_, Open());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<EsysHostTpm::Connection>> EsysHostTpm::Open() {
  if (!pin_ && !former_) {
    ASSIGN_OR_RETURN(pin_, LoadPin(options_.pin_file));
    if (pin_) {
      last_clock_ = pin_->last_clock;
    }
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Tcti> tcti, opener_());
  auto connection = std::make_unique<Connection>();
  connection->selection = {options_.pcr_bank, options_.pcrs};
  connection->pin = pin_.value_or(TpmPin());
  ASSIGN_OR_RETURN(connection->context, EsysContext::Open(std::move(tcti)));
  RETURN_IF_ERROR(connection->context->FlushLeftovers());
  RETURN_IF_ERROR(OpenSession(*connection));
  ASSIGN_OR_RETURN(const PcrValues firmware,
                   ReadPcrs(*connection->context, *connection->session,
                            FirmwareSelection(options_.pcr_bank)));
  RETURN_IF_ERROR(CheckFirmwareMeasured(firmware));
  RETURN_IF_ERROR(CheckSameTpm(*connection));
  if (former_) {
    RETURN_IF_ERROR(InheritFormer(*connection));
  }
  RETURN_IF_ERROR(LoadAk(*connection));
  RETURN_IF_ERROR(ProveAk(*connection));
  RETURN_IF_ERROR(LoadPurposeKeys(*connection));
  RETURN_IF_ERROR(LoadAnchor(*connection));
  RETURN_IF_ERROR(TakeIdentity(*connection));
  RETURN_IF_ERROR(RemoveLeftKeys(*connection));
  return connection;
}

absl::Status EsysHostTpm::TakeIdentity(Connection& connection) {
  Bytes certificate;
  if (identity_ && identity_->ek_public == connection.ek_public) {
    certificate = identity_->ek_certificate;
  } else {
    ASSIGN_OR_RETURN(certificate, ReadEkCertificate(*connection.context,
                                                    *connection.ek_template,
                                                    *connection.session));
  }
  TpmPin pin = std::move(connection.pin);
  pin.ek_template = std::string(connection.ek_template->name);
  pin.ek_name = connection.ek_name;
  pin.ak_name = connection.ak.name;
  pin.last_clock = last_clock_;
  if (former_) {
    RETURN_IF_ERROR(PutFormerAside());
  }
  const absl::Status stored = StorePin(options_.pin_file, pin);
  if (!pin_ || !SameKeys(*pin_, pin)) {
    RETURN_IF_ERROR(stored);
  }
  pin_ = std::move(pin);
  identity_ = {.host_id = ToHex(ByteView(connection.ek_name).subspan(2)),
               .ek_public = connection.ek_public,
               .ek_certificate = std::move(certificate),
               .ak_public = connection.ak.public_area,
               .hostname = options_.hostname,
               .module_version = VMATTEST_VERSION,
               .keys = ListedKeys(pin_->keys, kMaxListedKeys),
               .revocations = pin_->revocations,
               .log_index = pin_->log_index};
  return absl::OkStatus();
}

absl::Status EsysHostTpm::TakePin(TpmPin pin) {
  pin.last_clock = last_clock_;
  RETURN_IF_ERROR(StorePin(options_.pin_file, pin));
  pin_ = std::move(pin);
  identity_->keys = ListedKeys(pin_->keys, kMaxListedKeys);
  identity_->revocations = pin_->revocations;
  return absl::OkStatus();
}

absl::Status EsysHostTpm::OpenSession(Connection& connection) {
  EsysContext& context = *connection.context;
  for (const EkTemplate& candidate : EkTemplates()) {
    if (pin_ && candidate.name == pin_->ek_template) {
      connection.ek_template = &candidate;
    }
    if (!pin_ && connection.ek_template == nullptr) {
      ASSIGN_OR_RETURN(const bool certified,
                       HasEkCertificate(context, candidate));
      connection.ek_template = certified ? &candidate : nullptr;
    }
  }
  if (connection.ek_template == nullptr) {
    if (pin_) {
      return absl::FailedPreconditionError(
          fmt::format("{}: unknown EK template {}", options_.pin_file.string(),
                      pin_->ek_template));
    }
    connection.ek_template = &EkTemplates().front();
  }
  ASSIGN_OR_RETURN(const LoadedEk ek, LoadEk(context, *connection.ek_template,
                                             options_.endorsement_auth));
  connection.ek_public = ek.public_area;
  ASSIGN_OR_RETURN(connection.ek_name, evidence::NameOf(ek.public_area));
  if (pin_ && connection.ek_name != pin_->ek_name) {
    // Only the pinned TPM can hold the pinned AK: with it, another EK is a lie.
    const auto ak = context.Find(options_.persistent_handle_base, "AK");
    const auto area =
        ak.ok() ? context.PublicArea(*ak) : absl::StatusOr<Bytes>(ak.status());
    const auto name = area.ok() ? evidence::NameOf(*area)
                                : absl::StatusOr<Bytes>(area.status());
    if (name.ok() && *name == pin_->ak_name) {
      return absl::DataLossError(
          "the key that sessions are salted to is not the pinned one, but the "
          "AK is: somebody stands between this host and its TPM");
    }
    return NeedsReEnrolment("its endorsement key is not the pinned one");
  }
  ASSIGN_OR_RETURN(connection.session, EsysSession::Start(context, ek.object));
  return absl::OkStatus();
}

absl::Status EsysHostTpm::CheckSameTpm(Connection& connection) {
  ASSIGN_OR_RETURN(const TpmClock clock,
                   ReadTpmClock(*connection.context, *connection.session));
  RETURN_IF_ERROR(NoteClock(clock));
  connection.reset_count = clock.reset_count;
  const uint32_t base = options_.persistent_handle_base;
  ASSIGN_OR_RETURN(
      connection.handles,
      connection.context->Handles(base, connection.session->Auditing()));
  std::erase_if(connection.handles, [base](TPM2_HANDLE handle) {
    return handle >= base + kKeyHandles;
  });
  // A key that somebody evicted is made again. All at once go in TPM2_Clear,
  // after which a young TPM's clock may show nothing.
  if (pin_ && connection.handles.empty()) {
    return NeedsReEnrolment("none of the pinned keys is in it");
  }
  return absl::OkStatus();
}

absl::Status EsysHostTpm::ProveAk(Connection& connection) {
  ByteWriter question;
  question.Raw("vmattest/open/v1").U8(0).Raw(RandomBytes(32));
  const DigestBytes data = Hash(HashAlgorithm::kSha256, question.bytes());
  const auto quote = QuoteOnce(*connection.context, *connection.session,
                               connection.ak, data, connection.selection);
  if (!quote.ok() && connection.context->fault() == EsysFault::kRefused) {
    return identity_ ? absl::DataLossError(
                           "the TPM refuses an authorisation that it took "
                           "before: commands are altered on their way")
                     : absl::FailedPreconditionError(
                           "the TPM refuses the authorisation of the AK: it "
                           "was made with another one");
  }
  RETURN_IF_ERROR(quote.status());
  return NoteClock(quote->attest.clock);
}

absl::Status EsysHostTpm::NoteClock(const TpmClock& clock) {
  if (!ClockFollows(last_clock_, clock)) {
    return NeedsReEnrolment(
        fmt::format("its clock went back, from {}.{}.{} to {}.{}.{}",
                    last_clock_.reset_count, last_clock_.restart_count,
                    last_clock_.clock_ms, clock.reset_count,
                    clock.restart_count, clock.clock_ms));
  }
  last_clock_ = clock;
  if (!pin_ ||
      clock.clock_ms - pin_->last_clock.clock_ms < kStoreClockEvery_ms) {
    return absl::OkStatus();
  }
  TpmPin newer = *pin_;
  newer.last_clock = clock;
  // A full disk must not stop attestation: then the next call tries again, and
  // until it succeeds a clearing may show later.
  if (StorePin(options_.pin_file, newer).ok()) {
    pin_ = std::move(newer);
  }
  return absl::OkStatus();
}

}  // namespace vmattest::tpm
