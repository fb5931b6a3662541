#include "outbox/homes.h"

#include <utility>

#include "crypto/digest.h"
#include "crypto/ecdsa.h"

namespace vmattest::outbox {
namespace {

constexpr std::string_view kTag = "vmattest/home/v1";
constexpr size_t kHalf = 32;  // of a signature
// A clock that was set back by more makes a record of the future.
constexpr int64_t kSkewMs = 60'000;
// A launch asks twice within it, and each write waits for the disk.
constexpr int64_t kFreshMs = 60'000;

int64_t NowMs(const Clock& clock) {
  return clock.Now().time_since_epoch().count();
}

}  // namespace

Homes::Homes(Parts parts, std::string origin, std::chrono::milliseconds lasts)
    : parts_(std::move(parts)), origin_(std::move(origin)), lasts_(lasts) {}

Bytes Homes::DigestOf(const Uuid& vm, const OutboxFile::Home& home) const {
  ByteWriter writer;
  writer.Raw(kTag)
      .U8(0)
      .Sized(origin_)
      .Raw(ByteView(vm.bytes))
      .Sized(home.host)
      .U64(home.epoch)
      .U64(static_cast<uint64_t>(home.as_of_ms));
  return Hash(HashAlgorithm::kSha256, writer.bytes());
}

bool Homes::Holds(const Uuid& vm, const OutboxFile::Home& home,
                  const std::string& self) const {
  const int64_t now = NowMs(parts_.clock);
  if (home.host != self || home.signature.size() != 2 * kHalf ||
      home.as_of_ms > now + kSkewMs || now - home.as_of_ms > lasts_.count()) {
    return false;
  }
  const ByteView signature(home.signature);
  return VerifyEcdsa(parts_.key->public_key(), DigestOf(vm, home),
                     signature.first(kHalf), signature.subspan(kHalf));
}

absl::Status Homes::Note(const Uuid& vm, const LedgerPort::Vm& said,
                         const std::string& self) {
  if (said.home != self || !said.leaving_to.empty()) {
    return parts_.file.DropHome(vm);
  }
  ASSIGN_OR_RETURN(const std::optional<OutboxFile::Home> kept,
                   parts_.file.FindHome(vm));
  if (kept && kept->epoch == said.epoch && Holds(vm, *kept, self) &&
      NowMs(parts_.clock) - kept->as_of_ms < kFreshMs) {
    return absl::OkStatus();
  }
  OutboxFile::Home home{.host = said.home,
                        .epoch = said.epoch,
                        .as_of_ms = NowMs(parts_.clock),
                        .signature = {}};
  const EcPrivateKey::Signature signature =
      parts_.key->SignDigest(DigestOf(vm, home));
  home.signature = signature.r;
  home.signature.insert(home.signature.end(), signature.s.begin(),
                        signature.s.end());
  return parts_.file.PutHome(vm, home);
}

Homes::Home Homes::Find(const Uuid& vm, const std::string& self,
                        MonotonicTime deadline) {
  const absl::StatusOr<LedgerPort::Vm> said = parts_.ledger.GetVm(vm, deadline);
  if (said.ok()) {
    const absl::Status noted = Note(vm, *said, self);
    if (said->home.empty()) {
      return {.answer = Answer::kNone, .host = "", .problem = noted};
    }
    // On its way to this host, or away from it.
    const std::string& home =
        said->leaving_to.empty() ? said->home : said->leaving_to;
    return {.answer = home == self ? Answer::kHere : Answer::kElsewhere,
            .host = home,
            .problem = noted};
  }
  if (absl::IsNotFound(said.status())) {
    return {.answer = Answer::kUnregistered, .host = "", .problem = {}};
  }
  const absl::StatusOr<std::optional<OutboxFile::Home>> kept =
      parts_.file.FindHome(vm);
  if (kept.ok() && *kept && Holds(vm, **kept, self)) {
    return {.answer = Answer::kHere,
            .host = self,
            .kept = true,
            .problem = said.status()};
  }
  return {.answer = Answer::kUnknown, .host = "", .problem = said.status()};
}

absl::Status Homes::RefreshOldest(const std::string& self,
                                  MonotonicTime deadline) {
  ASSIGN_OR_RETURN(
      const std::optional<Uuid> vm,
      parts_.file.OldestHome(NowMs(parts_.clock) - lasts_.count() / 2));
  if (!vm) {
    return absl::OkStatus();
  }
  const absl::StatusOr<LedgerPort::Vm> said =
      parts_.ledger.GetVm(*vm, deadline);
  if (absl::IsNotFound(said.status())) {
    return parts_.file.DropHome(*vm);
  }
  RETURN_IF_ERROR(said.status());
  return Note(*vm, *said, self);
}

}  // namespace vmattest::outbox
