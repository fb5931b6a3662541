#include "tpm/esys/esys_host_tpm.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>

#include "crypto/digest.h"
#include "crypto/ecdsa.h"
#include "evidence/envelope.h"
#include "evidence/tpm_structures.h"
#include "fmt/format.h"
#include "tpm/esys/esys_context.h"
#include "tpm/esys/esys_keys.h"
#include "tpm/esys/esys_quote.h"
#include "tpm/esys/esys_session.h"
#include "tpm/esys/handles.h"

namespace vmattest::tpm {
namespace {

constexpr uint32_t kEpoch = 1;
constexpr uint32_t kHandlesPerEpoch = 8;
constexpr uint32_t kFirmwarePcrs = 8;
constexpr uint32_t kPcrCount = 24;
constexpr size_t kQualifyingSize = 32;
constexpr uint64_t kStoreClockEvery_ms = 3'600'000;
constexpr std::string_view kReplaced =
    "the TPM was replaced or cleared: this host must be enrolled again";

std::string LabelOf(KeyPurpose purpose) {
  return fmt::format("{}/{}", ToString(purpose), kEpoch);
}

// tpm2-tss writes to stderr whatever a TPM refuses; a library stays silent.
void SilenceTss() {
  static std::once_flag once;
  std::call_once(once, [] { setenv("TSS2_LOG", "all+none", 0); });
}

EsysHostTpmOptions Sorted(EsysHostTpmOptions options) {
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

// Whether `certification` is the AK's word that `name` is this purpose's key.
bool Certifies(const evidence::KeyCertification& certification,
               const SigningKey& ak, ByteView name) {
  const auto info = evidence::ParseAttest(certification.certify_info);
  const auto signature = evidence::ParseEcdsaSignature(certification.signature);
  const auto ak_area = evidence::ParseEccPublic(ak.public_area);
  if (!info.ok() || !signature.ok() || !ak_area.ok()) {
    return false;
  }
  const Bytes expected = evidence::CertifyQualifyingData(certification.purpose,
                                                         certification.epoch);
  return info->magic == evidence::kTpmGenerated &&
         info->type == evidence::kTpmStAttestCertify &&
         info->extra_data == expected &&
         std::equal(info->certified_name.begin(), info->certified_name.end(),
                    name.begin(), name.end()) &&
         VerifyEcdsa(ak_area->key,
                     Hash(HashAlgorithm::kSha256, certification.certify_info),
                     signature->r, signature->s);
}

}  // namespace

struct EsysHostTpm::Connection {
  std::unique_ptr<EsysContext> context;
  std::unique_ptr<EsysSession> session;  // goes before its context
  const EkTemplate* ek_template = nullptr;
  Bytes ek_public;
  Bytes ek_name;
  // While opening: a command with two authorisations takes two sessions.
  std::unique_ptr<EsysSession> second_session;
  SigningKey ak;
  std::map<KeyPurpose, SigningKey> keys;
  std::vector<evidence::KeyCertification> certifications;
  evidence::PcrSelection selection;
  PcrValues pcrs;  // as last read
};

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
  if (options_.pcrs.empty() || options_.pcrs.back() >= kPcrCount) {
    return absl::InvalidArgumentError(
        "the PCR selection is empty or names a PCR above 23");
  }
  if (options_.key_auth.empty()) {
    return absl::InvalidArgumentError("the keys' authorisation is empty");
  }
  if (options_.persistent_handle_base < TPM2_PERSISTENT_FIRST ||
      options_.persistent_handle_base >=
          TPM2_PLATFORM_PERSISTENT - kHandlesPerEpoch) {
    return absl::InvalidArgumentError(
        fmt::format("{:#x} is no base for persistent handles",
                    options_.persistent_handle_base));
  }
  return absl::OkStatus();
}

absl::Status EsysHostTpm::Provision() {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(CheckOptions());
  // A round trip, so that a connection that went stale is noticed.
  return Run([](Connection& connection) {
    return connection.context->Call("probing the session", [&] {
      EsysPtr<TPMS_TIME_INFO> time;
      return Esys_ReadClock(connection.context->get(),
                            connection.session->Auditing(), ESYS_TR_NONE,
                            ESYS_TR_NONE, EsysOut(time));
    });
  });
}

absl::StatusOr<evidence::HostIdentity> EsysHostTpm::GetIdentity() {
  const MutexLock lock(mutex_);
  if (!identity_) {
    return absl::FailedPreconditionError("the TPM was not provisioned yet");
  }
  return *identity_;
}

absl::StatusOr<Quote> EsysHostTpm::MakeQuote(KeyPurpose purpose,
                                             ByteView qualifying_data) {
  const MutexLock lock(mutex_);
  if (!identity_) {
    return absl::FailedPreconditionError("the TPM was not provisioned yet");
  }
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
  if (!identity_) {
    return absl::FailedPreconditionError("the TPM was not provisioned yet");
  }
  TpmClock clock;
  const absl::Status was_read =
      Run([&](Connection& connection) -> absl::Status {
        EsysPtr<TPMS_TIME_INFO> time;
        RETURN_IF_ERROR(
            connection.context->Call("reading the TPM's clock", [&] {
              return Esys_ReadClock(connection.context->get(),
                                    connection.session->Auditing(),
                                    ESYS_TR_NONE, ESYS_TR_NONE, EsysOut(time));
            }));
        clock = {.clock_ms = time->clockInfo.clock,
                 .reset_count = time->clockInfo.resetCount,
                 .restart_count = time->clockInfo.restartCount,
                 .safe = time->clockInfo.safe == TPM2_YES};
        return absl::OkStatus();
      });
  RETURN_IF_ERROR(was_read);
  RETURN_IF_ERROR(NoteClock(clock));
  return clock;
}

absl::Status EsysHostTpm::Run(
    const std::function<absl::Status(Connection&)>& command) {
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
  if (!pin_) {
    ASSIGN_OR_RETURN(pin_, LoadPin(options_.pin_file));
    if (pin_) {
      last_clock_ = pin_->last_clock;
    }
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Tcti> tcti, opener_());
  auto connection = std::make_unique<Connection>();
  connection->selection = {options_.pcr_bank, options_.pcrs};
  ASSIGN_OR_RETURN(connection->context, EsysContext::Open(std::move(tcti)));
  RETURN_IF_ERROR(connection->context->FlushLeftovers());
  RETURN_IF_ERROR(OpenSession(*connection));
  ASSIGN_OR_RETURN(const PcrValues firmware,
                   ReadPcrs(*connection->context, *connection->session,
                            FirmwareSelection(options_.pcr_bank)));
  RETURN_IF_ERROR(CheckFirmwareMeasured(firmware));
  RETURN_IF_ERROR(LoadKeys(*connection));
  RETURN_IF_ERROR(ProveAk(*connection));
  RETURN_IF_ERROR(CertifyKeys(*connection));
  Bytes certificate;
  if (identity_) {
    certificate = identity_->ek_certificate;
  } else {
    ASSIGN_OR_RETURN(certificate, ReadEkCertificate(*connection->context,
                                                    *connection->ek_template,
                                                    *connection->session));
  }
  TpmPin pin = {.ek_template = std::string(connection->ek_template->name),
                .ek_name = connection->ek_name,
                .ak_name = connection->ak.name,
                .keys = connection->certifications,
                .last_clock = last_clock_};
  const absl::Status stored = StorePin(options_.pin_file, pin);
  if (!pin_ || !SameKeys(*pin_, pin)) {
    RETURN_IF_ERROR(stored);
  }
  pin_ = std::move(pin);
  identity_ = {.host_id = ToHex(ByteView(connection->ek_name).subspan(2)),
               .ek_public = connection->ek_public,
               .ek_certificate = std::move(certificate),
               .ak_public = connection->ak.public_area,
               .hostname = options_.hostname,
               .module_version = VMATTEST_VERSION,
               .keys = connection->certifications};
  return connection;
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
    return absl::FailedPreconditionError(std::string(kReplaced));
  }
  ASSIGN_OR_RETURN(connection.session, EsysSession::Start(context, ek.object));
  ASSIGN_OR_RETURN(connection.second_session,
                   EsysSession::Start(context, ek.object));
  return absl::OkStatus();
}

absl::Status EsysHostTpm::LoadKeys(Connection& connection) {
  const KeyAuthorizations authorizations = {
      options_.key_auth, options_.owner_auth, options_.endorsement_auth};
  const uint32_t base = options_.persistent_handle_base;
  ASSIGN_OR_RETURN(connection.ak, LoadOrCreateSigningKey(
                                      *connection.context, *connection.session,
                                      {"ak", base}, authorizations));
  if (pin_ && connection.ak.name != pin_->ak_name) {
    return absl::FailedPreconditionError(fmt::format(
        "the AK at {:#x} is not the pinned one: {}", base, kReplaced));
  }
  for (const KeyPurpose purpose : options_.purposes) {
    const uint32_t handle =
        base + static_cast<uint32_t>(purpose) + kHandlesPerEpoch * (kEpoch - 1);
    ASSIGN_OR_RETURN(
        connection.keys[purpose],
        LoadOrCreateSigningKey(*connection.context, *connection.session,
                               {LabelOf(purpose), handle}, authorizations));
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

absl::Status EsysHostTpm::CertifyKeys(Connection& connection) {
  for (const auto& [purpose, key] : connection.keys) {
    evidence::KeyCertification made = {
        .purpose = purpose, .epoch = kEpoch, .public_area = key.public_area};
    bool known = false;
    for (const auto& pinned :
         pin_ ? pin_->keys : std::vector<evidence::KeyCertification>()) {
      if (pinned.purpose != purpose || pinned.epoch != kEpoch) {
        continue;
      }
      if (pinned.public_area != key.public_area) {
        return absl::FailedPreconditionError(
            fmt::format("the {} key is not the pinned one: {}",
                        LabelOf(purpose), kReplaced));
      }
      known = Certifies(pinned, connection.ak, key.name);
      made = known ? pinned : made;
    }
    if (!known) {
      ASSIGN_OR_RETURN(
          Certification certification,
          CertifyKey(*connection.context, *connection.session,
                     *connection.second_session, key, connection.ak,
                     evidence::CertifyQualifyingData(purpose, kEpoch)));
      made.certify_info = std::move(certification.certify_info);
      made.signature = std::move(certification.signature);
      if (!Certifies(made, connection.ak, key.name)) {
        return absl::DataLossError("a certification that does not verify");
      }
    }
    connection.certifications.push_back(std::move(made));
  }
  connection.second_session.reset();
  return absl::OkStatus();
}

absl::Status EsysHostTpm::NoteClock(const TpmClock& clock) {
  if (!ClockFollows(last_clock_, clock)) {
    return absl::FailedPreconditionError(
        fmt::format("the TPM's clock went back, from {}.{}.{} to {}.{}.{}: {}",
                    last_clock_.reset_count, last_clock_.restart_count,
                    last_clock_.clock_ms, clock.reset_count,
                    clock.restart_count, clock.clock_ms, kReplaced));
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
