#ifndef VMATTEST_CLI_MESSAGE_JSON_H_
#define VMATTEST_CLI_MESSAGE_JSON_H_

#include <string>

#include "google/protobuf/message.h"

namespace vmattest::cli {

// What --json prints of a message: one line, the proto's field names, every
// field but unset messages.
std::string Json(const google::protobuf::Message& message);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_MESSAGE_JSON_H_
