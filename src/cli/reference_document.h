#ifndef VMATTEST_CLI_REFERENCE_DOCUMENT_H_
#define VMATTEST_CLI_REFERENCE_DOCUMENT_H_

#include <string>

#include "base/status.h"
#include "reference/reference.h"
#include "vmattest/types/verdict.h"

// Reference documents as files, for the commands of this folder.

namespace vmattest::cli {

struct OpenedReference {
  Verdict verdict;                 // of the signatures
  reference::Reference reference;  // only if trusted
  std::string signer;              // name and key id; only if trusted
};
// `approvers`: folder of public keys, "*.pub". INVALID_ARGUMENT, NOT_FOUND:
// unreadable files, or a reference that is signed and yet none.
absl::StatusOr<OpenedReference> OpenReference(const std::string& file,
                                              const std::string& approvers);

// The YAML that people write.
absl::StatusOr<reference::Reference> LoadReferenceYaml(const std::string& file);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_REFERENCE_DOCUMENT_H_
