#ifndef VMATTEST_GUESTCHANNEL_REQUEST_PARSER_H_
#define VMATTEST_GUESTCHANNEL_REQUEST_PARSER_H_

#include "guestchannel/protocol/messages.h"

namespace vmattest::guestchannel {

// Reads what guests send, elsewhere than in this process (rule S25). Blocks for
// a few seconds at most; any thread.
//   INVALID_ARGUMENT: it is no request. Others: nobody could look, or whoever
//   did came to harm.
class RequestParser {
 public:
  virtual ~RequestParser() = default;
  [[nodiscard]] virtual absl::StatusOr<Request> Parse(ByteView payload) = 0;
};

}  // namespace vmattest::guestchannel

#endif  // VMATTEST_GUESTCHANNEL_REQUEST_PARSER_H_
