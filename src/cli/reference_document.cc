#include "cli/reference_document.h"

#include <fmt/format.h>

#include "base/file.h"
#include "document/key_files.h"

namespace vmattest::cli {
namespace {

constexpr size_t kMaxYaml = 1u << 20;

}  // namespace

absl::StatusOr<OpenedReference> OpenReference(const std::string& file,
                                              const std::string& approvers) {
  ASSIGN_OR_RETURN(const Bytes bytes,
                   ReadFile(file, document::kMaxDocumentSize));
  ASSIGN_OR_RETURN(const std::vector<document::PublicKey> keys,
                   document::LoadPublicKeys(approvers));
  document::Opened opened =
      document::Open(bytes, document::kReferencePayloadType, keys);
  OpenedReference result{.verdict = std::move(opened.verdict)};
  if (result.verdict.trusted()) {
    ASSIGN_OR_RETURN_WITH(result.reference, reference::Parse(opened.payload),
                          file);
    result.signer =
        fmt::format("{} {}", opened.signer->name, ToHex(opened.signer->key_id));
  }
  return result;
}

absl::StatusOr<reference::Reference> LoadReferenceYaml(
    const std::string& file) {
  ASSIGN_OR_RETURN(const Bytes text, ReadFile(file, kMaxYaml));
  ASSIGN_OR_RETURN_WITH(reference::Reference reference,
                        reference::FromYaml(AsText(text)), file);
  return reference;
}

}  // namespace vmattest::cli
