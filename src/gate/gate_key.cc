#include "gate/gate_key.h"

#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "base/file.h"
#include "base/secret_bytes.h"
#include "crypto/ecdsa.h"
#include "fmt/format.h"

namespace vmattest::gate {
namespace {

constexpr size_t kMaxKeyFile = 64u << 10;

absl::Status CheckPrivate(const std::filesystem::path& file) {
  struct stat status {};
  if (stat(file.c_str(), &status) != 0) {
    return ErrnoStatus(errno, file.string());
  }
  return (status.st_mode & (S_IRWXG | S_IRWXO)) == 0
             ? absl::OkStatus()
             : absl::FailedPreconditionError(
                   fmt::format("{}: others may use it", file.string()));
}

}  // namespace

absl::StatusOr<EcPrivateKey> LoadOrMakeKey(const std::filesystem::path& file) {
  absl::StatusOr<Bytes> bytes = ReadFile(file, kMaxKeyFile);
  if (absl::IsNotFound(bytes.status())) {
    EcPrivateKey made = EcPrivateKey::Generate();
    const SecretBytes pem = made.ToPem();
    RETURN_IF_ERROR(WriteFileAtomic(file, pem.Reveal(SecretAccess()), 0600));
    return made;
  }
  RETURN_IF_ERROR(bytes.status());
  RETURN_IF_ERROR(CheckPrivate(file));
  absl::StatusOr<EcPrivateKey> key =
      EcPrivateKey::FromPem(SecretBytes(*std::move(bytes)));
  return key.ok() ? std::move(key) : Annotate(key.status(), file.string());
}

void GateKey::Sign(const GateCall& call, GateReply& reply) const {
  EcPrivateKey::Signature signature = key_.SignDigest(ReplyDigest(call, reply));
  reply.signature_r = std::move(signature.r);
  reply.signature_s = std::move(signature.s);
}

absl::StatusOr<std::string> GateKey::ToPem() const {
  return vmattest::ToPem(key_.public_key());
}

}  // namespace vmattest::gate
