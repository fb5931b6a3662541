#ifndef VMATTEST_YAML_YAML_SCALAR_H_
#define VMATTEST_YAML_YAML_SCALAR_H_

#include <string>
#include <string_view>

#include "base/status.h"
#include "google/protobuf/message.h"

namespace vmattest::yaml {

// Sets `field` (or adds to it, if it is a list) from the text of a YAML scalar.
// Booleans are true or false; integers decimal or 0x hexadecimal; enumerators
// their names, or these in lower case without the enum's prefix; bytes are
// hexadecimal. A scalar in quotes is text and sets strings, bytes and
// enumerators only. INVALID_ARGUMENT says what was expected.
absl::Status SetScalar(std::string_view text, bool quoted,
                       const google::protobuf::FieldDescriptor& field,
                       google::protobuf::Message& message);

// The value of `field` (element `index` of a list, or -1) as SetScalar reads
// it back.
std::string ScalarText(const google::protobuf::FieldDescriptor& field,
                       const google::protobuf::Message& message, int index);

}  // namespace vmattest::yaml

#endif  // VMATTEST_YAML_YAML_SCALAR_H_
