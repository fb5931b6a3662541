#include "cli/key_command.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/log.h"
#include "cli/exit_code.h"
#include "document/key_files.h"

namespace vmattest::cli {
namespace {

int Fail(std::ostream& err, std::string_view command,
         const absl::Status& status) {
  err << "vmattest key " << command << ": "
      << log::Quote(std::string(status.message())) << "\n";
  return ExitCodeOf(status);
}

std::vector<std::string> Algorithms(const document::PublicKey& key) {
  std::vector<std::string> names{std::string(document::kEcdsaP256Algorithm)};
  for (const MlDsaLevel level : kAllMlDsaLevels) {
    if (key.pq_bytes.size() == MlDsaPublicKeySize(level)) {
      names.emplace_back(ToString(level));
    }
  }
  return names;
}

void Print(const document::PublicKey& key, bool json, std::ostream& out) {
  if (json) {
    out << nlohmann::ordered_json{{"name", key.name},
                                  {"key_id", ToHex(key.key_id)},
                                  {"algorithms", Algorithms(key)}}
               .dump(2)
        << "\n";
    return;
  }
  out << fmt::format("name        {}\nkey id      {}\nalgorithms  {}\n",
                     log::Quote(key.name), ToHex(key.key_id),
                     fmt::join(Algorithms(key), ", "));
}

absl::StatusOr<std::optional<MlDsaLevel>> ParseLevel(const std::string& text) {
  if (text == "none") {
    return std::nullopt;
  }
  const std::optional<MlDsaLevel> level = ParseMlDsaLevel("ml-dsa-" + text);
  if (!level) {
    return absl::InvalidArgumentError("--ml-dsa: must be 65, 87 or none");
  }
  return level;
}

absl::Status Generate(const KeyGenerateArgs& args, std::ostream& out) {
  ASSIGN_OR_RETURN(const std::optional<MlDsaLevel> level,
                   ParseLevel(args.level));
  ASSIGN_OR_RETURN(const document::PrivateKey key,
                   document::PrivateKey::Generate(args.name, level));
  RETURN_IF_ERROR(document::WritePrivateKey(args.out, key));
  RETURN_IF_ERROR(WriteFileAtomic(
      args.out + ".pub", AsBytes(document::PublicKeyToJson(key.public_key()))));
  Print(key.public_key(), args.json, out);
  return absl::OkStatus();
}

absl::StatusOr<document::PublicKey> LoadEither(const std::string& file) {
  absl::StatusOr<document::PublicKey> shown = document::LoadPublicKey(file);
  if (shown.ok() || !absl::IsInvalidArgument(shown.status())) {
    return shown;
  }
  const absl::StatusOr<document::PrivateKey> key =
      document::LoadPrivateKey(file);
  if (!key.ok()) {
    // What is neither is told about as the public key that it may be.
    return absl::IsInvalidArgument(key.status()) ? shown.status()
                                                 : key.status();
  }
  return key->public_key();
}

}  // namespace

int RunKeyGenerate(const KeyGenerateArgs& args, std::ostream& out,
                   std::ostream& err) {
  const absl::Status status = Generate(args, out);
  return status.ok() ? kExitGood : Fail(err, "generate", status);
}

int RunKeyShow(const KeyShowArgs& args, std::ostream& out, std::ostream& err) {
  const absl::StatusOr<document::PublicKey> key = LoadEither(args.file);
  if (!key.ok()) {
    return Fail(err, "show", key.status());
  }
  Print(*key, args.json, out);
  return kExitGood;
}

int RunKeyPublic(const KeyPublicArgs& args, std::ostream& out,
                 std::ostream& err) {
  const absl::StatusOr<document::PublicKey> key = LoadEither(args.file);
  if (!key.ok()) {
    return Fail(err, "public", key.status());
  }
  const std::string text = document::PublicKeyToJson(*key);
  if (args.out.empty()) {
    out << text;
    return kExitGood;
  }
  const absl::Status written = WriteFileAtomic(args.out, AsBytes(text));
  return written.ok() ? kExitGood : Fail(err, "public", written);
}

}  // namespace vmattest::cli
