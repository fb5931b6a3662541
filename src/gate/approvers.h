#ifndef VMATTEST_GATE_APPROVERS_H_
#define VMATTEST_GATE_APPROVERS_H_

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "document/document.h"
#include "reference/reference.h"

// Documents that approvers signed, and their folders. Callable from any thread;
// these block on the disk.

namespace vmattest::gate {

// The regular files of a folder by name, at most 10,000. No folder: none.
absl::StatusOr<std::vector<std::filesystem::path>> FilesIn(
    const std::filesystem::path& folder);

// A reference that one of them signed. INVALID_ARGUMENT: why it is none.
absl::StatusOr<reference::Reference> OpenReference(
    ByteView document, std::span<const document::PublicKey> approvers);

// The first reason, "code: element".
std::string WhyNotTrusted(const Verdict& verdict);

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_APPROVERS_H_
