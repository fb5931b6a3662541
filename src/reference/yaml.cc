#include <fmt/format.h>

#include "reference/message.h"
#include "reference/validate.h"
#include "yaml/yaml_message.h"

namespace vmattest::reference {
namespace {

constexpr std::string_view kFile = "reference";

// Unsigned as yet: nobody has said when it counts.
bool IsEmpty(const Header& header) {
  return header.issued_unix_ms == 0 && header.not_before_unix_ms == 0 &&
         header.not_after_unix_ms == 0 && header.signature_algorithms.empty();
}

}  // namespace

absl::StatusOr<Reference> FromYaml(std::string_view yaml) {
  Reference defaults;
  defaults.revision = 1;
  v1::ReferenceDocument message = ToMessage(defaults);
  RETURN_IF_ERROR(yaml::MergeYaml(yaml, kFile, message, nullptr));
  ASSIGN_OR_RETURN_WITH(Reference reference, FromMessage(message), kFile);
  RETURN_IF_ERROR_WITH(CheckBody(reference), kFile);
  const Header& header = reference.header;
  if ((header.not_before_unix_ms != 0 || header.not_after_unix_ms != 0) &&
      header.not_after_unix_ms <= header.not_before_unix_ms) {
    return absl::InvalidArgumentError(fmt::format(
        "{}: header.not_after_unix_ms: the validity ends before it begins",
        kFile));
  }
  return reference;
}

std::string ToYaml(const Reference& reference) {
  v1::ReferenceDocument message = ToMessage(reference);
  if (IsEmpty(reference.header)) {
    message.clear_header();
  }
  message.set_verdict_seconds(reference.verdict_seconds);
  return yaml::ToYaml(message);
}

}  // namespace vmattest::reference
