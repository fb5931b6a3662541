#include "cli/export_command.h"

#include <fmt/format.h>

#include <filesystem>
#include <map>
#include <system_error>

#include "base/file.h"
#include "base/log.h"
#include "cli/exit_code.h"
#include "cli/tpm2_tools_pcrs.h"
#include "crypto/ecdsa.h"
#include "evidence/evidence.h"
#include "evidence/tpm_structures.h"
#include "vmattest/verifier/verifier.h"
#include "wire/codec.h"

namespace vmattest::cli {
namespace {

using Files = std::map<std::string, Bytes>;

// What the files are made from; pointers are into `evidence`.
struct Source {
  evidence::Evidence evidence;
  evidence::ConfigStatement statement;
  const evidence::TpmQuoteSignature* quote = nullptr;
  const evidence::KeyCertification* key = nullptr;
  evidence::EccPublicArea area;
  evidence::Attest attest;
  evidence::EcdsaSignature signature;
};

absl::Status Load(const std::string& file, Source& source) {
  ASSIGN_OR_RETURN(const Bytes bytes, ReadFile(file, wire::kMaxEvidenceSize));
  ASSIGN_OR_RETURN(source.evidence, wire::ParseEvidence(bytes));
  const evidence::Envelope& envelope = source.evidence.envelope;
  ASSIGN_OR_RETURN(source.statement,
                   wire::ParseConfigStatement(envelope.payload));
  for (const evidence::Signature& signature : envelope.signatures) {
    if (const auto* quote =
            std::get_if<evidence::TpmQuoteSignature>(&signature.body)) {
      source.quote = quote;
    }
  }
  if (source.quote == nullptr) {
    return absl::InvalidArgumentError("the evidence has no tpm2-quote");
  }
  ASSIGN_OR_RETURN(source.attest, evidence::ParseAttest(source.quote->quoted));
  ASSIGN_OR_RETURN(source.signature,
                   evidence::ParseEcdsaSignature(source.quote->signature));
  for (const evidence::KeyCertification& key : source.evidence.keys) {
    ASSIGN_OR_RETURN(evidence::EccPublicArea area,
                     evidence::ParseEccPublic(key.public_area));
    if (area.name == source.quote->key_name) {
      source.key = &key;
      source.area = std::move(area);
    }
  }
  if (source.key == nullptr) {
    return absl::InvalidArgumentError("the key that quoted is not there");
  }
  return absl::OkStatus();
}

// An INTEGER of an ECDSA signature in DER: minimal, never negative.
void AppendInteger(ByteWriter& der, ByteView number) {
  while (!number.empty() && number.front() == 0) {
    number = number.subspan(1);
  }
  const bool pad = number.empty() || (number.front() & 0x80) != 0;
  der.U8(0x02).U8(static_cast<uint8_t>(number.size() + (pad ? 1 : 0)));
  if (pad) {
    der.U8(0);
  }
  der.Raw(number);
}

absl::StatusOr<Bytes> ToDer(ByteView tpmt_signature) {
  ASSIGN_OR_RETURN(const evidence::EcdsaSignature signature,
                   evidence::ParseEcdsaSignature(tpmt_signature));
  constexpr size_t kP384Size = 48;
  if (signature.r.size() > kP384Size || signature.s.size() > kP384Size) {
    return absl::InvalidArgumentError("the certification's signature is long");
  }
  ByteWriter integers;
  AppendInteger(integers, signature.r);
  AppendInteger(integers, signature.s);
  ByteWriter der;
  der.U8(0x30).U8(static_cast<uint8_t>(integers.bytes().size()));
  der.Raw(integers.bytes());
  return std::move(der).Take();
}

std::string HashName(uint16_t algorithm) {
  return algorithm == 0x000C ? "sha384" : "sha256";
}

std::string Readme(const Source& source, bool with_ak) {
  const evidence::BatchProof& batch = source.quote->batch;
  std::string text = fmt::format(
      "The quote, checked by tpm2-tools:\n"
      "  tpm2_checkquote -u ak.pem -m quote.msg -s quote.sig -f quote.pcrs "
      "-g {} -q {}\n\n",
      HashName(source.signature.hash), ToHex(source.attest.extra_data));
  if (with_ak) {
    text +=
        "The key that made it (ak.pem), certified by the host's AK:\n"
        "  openssl dgst -sha256 -verify host-ak.pem -signature certify.der "
        "certify.msg\n\n";
  }
  text += fmt::format(
      "What it is about: pae.bin, the pre-authentication encoding of "
      "payload.bin.\n"
      "leaf = SHA-256(0x00 || \"vmattest/batch-leaf/v1\" || "
      "SHA-256(pae.bin)), leaf {} of {};\n"
      "its audit path (RFC 6962, SHA-256), lowest first:\n",
      batch.index, batch.size);
  for (const DigestBytes& sibling : batch.path) {
    text += "  " + ToHex(sibling) + "\n";
  }
  text +=
      "qualification = SHA-256(\"vmattest/quote/v1\" || 0x00 || \"config\" || "
      "0x00 || root || size as uint64)\n";
  return text;
}

absl::StatusOr<Files> MakeFiles(const Source& source,
                                const std::string& host_ak) {
  const evidence::Envelope& envelope = source.evidence.envelope;
  Files files;
  ASSIGN_OR_RETURN(const std::string pem, ToPem(source.area.key));
  files["ak.pem"] = ToBytes(pem);
  files["quote.msg"] = source.quote->quoted;
  files["quote.sig"] = source.quote->signature;
  ASSIGN_OR_RETURN(files["quote.pcrs"],
                   EncodeTpm2ToolsPcrs(source.attest.pcr_selections,
                                       source.quote->pcr_banks));
  files["qualification.hex"] = ToBytes(ToHex(source.attest.extra_data) + "\n");
  files["certify.msg"] = source.key->certify_info;
  ASSIGN_OR_RETURN(files["certify.der"], ToDer(source.key->signature));
  files["payload.bin"] = envelope.payload;
  files["pae.bin"] =
      evidence::PreAuthEncoding(envelope.payload_type, envelope.payload);
  files["README.txt"] = ToBytes(Readme(source, !host_ak.empty()));
  if (!host_ak.empty()) {
    files["host-ak.pem"] = ToBytes(host_ak);
  }
  return files;
}

absl::StatusOr<std::string> HostAk(const std::string& folder,
                                   const std::string& host_id) {
  ASSIGN_OR_RETURN(const verifier::Anchors anchors,
                   verifier::Anchors::LoadFolder(folder));
  return anchors.AkPem(host_id);
}

absl::Status Export(const ExportArgs& args) {
  Source source;
  RETURN_IF_ERROR_WITH(Load(args.file, source), args.file);
  std::string host_ak;
  if (args.anchors) {
    ASSIGN_OR_RETURN(host_ak,
                     HostAk(*args.anchors, source.statement.header.host_id));
  }
  ASSIGN_OR_RETURN_WITH(const Files files, MakeFiles(source, host_ak),
                        args.file);
  std::error_code error;
  std::filesystem::create_directories(args.folder, error);
  if (error) {
    return ErrnoStatus(error.value(), args.folder);
  }
  for (const auto& [name, content] : files) {
    RETURN_IF_ERROR(
        WriteFileAtomic(std::filesystem::path(args.folder) / name, content));
  }
  return absl::OkStatus();
}

}  // namespace

int RunExport(const ExportArgs& args, std::ostream& out, std::ostream& err) {
  if (const absl::Status status = Export(args); !status.ok()) {
    err << "vmattest export: " << log::Quote(std::string(status.message()))
        << "\n";
    return kExitUsage;
  }
  out << fmt::format("written to {}, see README.txt there\n", args.folder);
  return kExitGood;
}

}  // namespace vmattest::cli
