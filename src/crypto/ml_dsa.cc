#include "crypto/ml_dsa.h"

#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "crypto/digest.h"
#include "crypto/handles.h"
#include "crypto/openssl_errors.h"
#include "crypto/pq_provider.h"

namespace vmattest {
namespace {

// Names of 3.5's core_names.h, which 3.0's lacks.
constexpr char kSeed[] = "seed";
constexpr char kContextString[] = "context-string";
constexpr char kDeterministic[] = "deterministic";

constexpr char kInstalledModule[] = "/usr/lib/vmattest/pq/fips.so";

const char* OpenSslName(MlDsaLevel level) {
  switch (level) {
    case MlDsaLevel::k44:
      return "ML-DSA-44";
    case MlDsaLevel::k65:
      return "ML-DSA-65";
    case MlDsaLevel::k87:
      return "ML-DSA-87";
  }
  return "";
}

// A null pointer, though of no bytes, would be refused.
OSSL_PARAM ContextParam(std::string_view context) {
  const char* data = context.empty() ? "" : context.data();
  return OSSL_PARAM_construct_octet_string(
      kContextString, const_cast<char*>(data), context.size());
}

bool HasNative() {
  const OpenSslErrorScope errors;
  for (const MlDsaLevel level : kAllMlDsaLevels) {
    if (!EvpPkeyCtxHandle(
            EVP_PKEY_CTX_new_from_name(nullptr, OpenSslName(level), nullptr))) {
      return false;
    }
  }
  return true;
}

std::vector<std::filesystem::path> UsualPlaces() {
  std::vector<std::filesystem::path> places;
  std::error_code error;
  const std::filesystem::path program =
      std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) {
    places.push_back(program.parent_path().parent_path() /
                     "lib/vmattest/pq/fips.so");
  }
  places.emplace_back(kInstalledModule);
  return places;
}

absl::Status Unavailable(std::string_view why) {
  return absl::UnavailableError(
      fmt::format("no ML-DSA: OpenSSL {} has none and {}; install OpenSSL 3.5 "
                  "or its module "
                  "(docs/post-quantum.md)",
                  OpenSSL_version(OPENSSL_VERSION_STRING), why));
}

absl::StatusOr<std::unique_ptr<PqProvider>> LoadFrom(
    const std::filesystem::path& path) {
  absl::StatusOr<std::unique_ptr<PqProvider>> module = PqProvider::Load(path);
  if (!module.ok()) {
    return Unavailable(fmt::format("the module was refused: {}",
                                   std::string(module.status().message())));
  }
  return module;
}

absl::StatusOr<std::unique_ptr<PqProvider>> LoadModule(
    std::string_view wanted) {
  if (!wanted.empty()) {
    return LoadFrom(wanted);
  }
  if (const char* named = secure_getenv("VMATTEST_PQ_MODULE");
      named != nullptr && *named != '\0') {
    return LoadFrom(named);
  }
  std::error_code error;
  for (const std::filesystem::path& place : UsualPlaces()) {
    if (std::filesystem::exists(place, error)) {
      return LoadFrom(place);
    }
  }
  return Unavailable(fmt::format("{} is not there", kInstalledModule));
}

}  // namespace

struct MlDsaProvider::State {
  std::unique_ptr<PqProvider> module;  // null: libcrypto's own
  std::string description;

  [[nodiscard]] OSSL_LIB_CTX* context() const {
    return module ? module->context() : nullptr;
  }
  [[nodiscard]] const char* properties() const {
    return module ? PqProvider::kProperties : nullptr;
  }
  // Null if `params` are no key.
  [[nodiscard]] std::shared_ptr<EVP_PKEY> Import(MlDsaLevel level,
                                                 int selection,
                                                 const char* name,
                                                 ByteView value) const;
};

std::shared_ptr<EVP_PKEY> MlDsaProvider::State::Import(MlDsaLevel level,
                                                       int selection,
                                                       const char* name,
                                                       ByteView value) const {
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_octet_string(
          name, const_cast<uint8_t*>(value.data()), value.size()),
      OSSL_PARAM_construct_end()};
  const EvpPkeyCtxHandle importer(
      EVP_PKEY_CTX_new_from_name(context(), OpenSslName(level), properties()));
  EVP_PKEY* key = nullptr;
  if (!importer || EVP_PKEY_fromdata_init(importer.get()) != 1 ||
      EVP_PKEY_fromdata(importer.get(), &key, selection, params) != 1) {
    return nullptr;
  }
  return {key, EVP_PKEY_free};
}

MlDsaProvider::MlDsaProvider(std::unique_ptr<State> state)
    : state_(std::move(state)) {}
MlDsaProvider::~MlDsaProvider() = default;

absl::StatusOr<const MlDsaProvider*> MlDsaProvider::Open(
    std::string_view module_path) {
  static Mutex mutex;
  // Lives as long as the process: keys may outlive every other static.
  static MlDsaProvider* opened = nullptr;
  const MutexLock lock(mutex);
  if (opened != nullptr) {
    return opened;
  }
  auto state = std::make_unique<State>();
  if (HasNative()) {
    state->description =
        fmt::format("OpenSSL {}", OpenSSL_version(OPENSSL_VERSION_STRING));
  } else {
    ASSIGN_OR_RETURN(state->module, LoadModule(module_path));
    state->description = fmt::format("the module {}", state->module->path());
  }
  opened = new MlDsaProvider(std::move(state));
  return opened;
}

MlDsaProvider::Source MlDsaProvider::source() const {
  return state_->module ? Source::kModule : Source::kNative;
}

const std::string& MlDsaProvider::description() const {
  return state_->description;
}

SecretBytes GenerateMlDsaSeed() {
  return SecretBytes(RandomBytes(kMlDsaSeedSize));
}

Bytes MlDsaKeyId(ByteView public_key) {
  return Hash(HashAlgorithm::kSha256, public_key);
}

MlDsaPublicKey::MlDsaPublicKey(const MlDsaProvider* provider, MlDsaLevel level,
                               std::shared_ptr<EVP_PKEY> key)
    : provider_(provider), level_(level), key_(std::move(key)) {}

absl::StatusOr<MlDsaPublicKey> MlDsaPublicKey::Parse(MlDsaLevel level,
                                                     ByteView bytes) {
  if (bytes.size() != MlDsaPublicKeySize(level)) {
    return absl::InvalidArgumentError(
        fmt::format("a public key of {} has {} bytes, not {}", ToString(level),
                    MlDsaPublicKeySize(level), bytes.size()));
  }
  ASSIGN_OR_RETURN(const MlDsaProvider* provider, MlDsaProvider::Open());
  const OpenSslErrorScope errors;
  std::shared_ptr<EVP_PKEY> key = provider->state_->Import(
      level, EVP_PKEY_PUBLIC_KEY, OSSL_PKEY_PARAM_PUB_KEY, bytes);
  if (!key) {
    return absl::InvalidArgumentError(
        fmt::format("not a public key of {}", ToString(level)));
  }
  return MlDsaPublicKey(provider, level, std::move(key));
}

bool MlDsaPublicKey::Verify(ByteView message, std::string_view context,
                            ByteView signature) const {
  if (context.size() > kMaxMlDsaContextSize ||
      signature.size() != MlDsaSignatureSize(level_)) {
    return false;
  }
  const OpenSslErrorScope errors;
  const OSSL_PARAM params[] = {ContextParam(context),
                               OSSL_PARAM_construct_end()};
  const EvpMdCtxHandle digest(EVP_MD_CTX_new());
  RequireOpenSsl(digest != nullptr, "EVP_MD_CTX_new");
  return EVP_DigestVerifyInit_ex(
             digest.get(), nullptr, nullptr, provider_->state_->context(),
             provider_->state_->properties(), key_.get(), params) == 1 &&
         EVP_DigestVerify(digest.get(), signature.data(), signature.size(),
                          message.data(), message.size()) == 1;
}

MlDsaKey::MlDsaKey(const MlDsaProvider* provider, MlDsaLevel level,
                   std::shared_ptr<EVP_PKEY> key, Bytes public_key)
    : provider_(provider),
      level_(level),
      key_(std::move(key)),
      public_key_(std::move(public_key)),
      key_id_(MlDsaKeyId(public_key_)) {}

absl::StatusOr<MlDsaKey> MlDsaKey::FromSeed(MlDsaLevel level,
                                            const SecretBytes& seed) {
  if (seed.size() != kMlDsaSeedSize) {
    return absl::InvalidArgumentError(
        fmt::format("a seed of {} has {} bytes, not {}", ToString(level),
                    kMlDsaSeedSize, seed.size()));
  }
  ASSIGN_OR_RETURN(const MlDsaProvider* provider, MlDsaProvider::Open());
  const OpenSslErrorScope errors;
  std::shared_ptr<EVP_PKEY> key = provider->state_->Import(
      level, EVP_PKEY_KEYPAIR, kSeed, seed.Reveal(SecretAccess()));
  Bytes public_key(MlDsaPublicKeySize(level));
  size_t size = 0;
  if (!key ||
      EVP_PKEY_get_octet_string_param(key.get(), OSSL_PKEY_PARAM_PUB_KEY,
                                      public_key.data(), public_key.size(),
                                      &size) != 1 ||
      size != public_key.size()) {
    return absl::InternalError(fmt::format(
        "making a key of {}: {}", ToString(level), DrainOpenSslErrors()));
  }
  return MlDsaKey(provider, level, std::move(key), std::move(public_key));
}

absl::StatusOr<Bytes> MlDsaKey::Sign(ByteView message, std::string_view context,
                                     Signing signing) const {
  if (context.size() > kMaxMlDsaContextSize) {
    return absl::InvalidArgumentError(
        fmt::format("the context has {} bytes, at most {} are allowed",
                    context.size(), kMaxMlDsaContextSize));
  }
  int deterministic = signing == Signing::kDeterministic ? 1 : 0;
  const OSSL_PARAM params[] = {
      ContextParam(context),
      OSSL_PARAM_construct_int(kDeterministic, &deterministic),
      OSSL_PARAM_construct_end()};
  const OpenSslErrorScope errors;
  const EvpMdCtxHandle digest(EVP_MD_CTX_new());
  Bytes signature(MlDsaSignatureSize(level_));
  size_t size = signature.size();
  if (!digest ||
      EVP_DigestSignInit_ex(
          digest.get(), nullptr, nullptr, provider_->state_->context(),
          provider_->state_->properties(), key_.get(), params) != 1 ||
      EVP_DigestSign(digest.get(), signature.data(), &size, message.data(),
                     message.size()) != 1 ||
      size != signature.size()) {
    return absl::InternalError(fmt::format(
        "signing by {}: {}", ToString(level_), DrainOpenSslErrors()));
  }
  return signature;
}

}  // namespace vmattest
