#include "verification/result_keys.h"

namespace vmattest::verification {

std::string_view ToString(ResultKeys::State state) {
  switch (state) {
    case ResultKeys::State::kNext:
      return "next";
    case ResultKeys::State::kActive:
      return "active";
    case ResultKeys::State::kOld:
      return "old";
  }
  return "unknown";
}

std::vector<token::VerificationKey> ResultKeys::Published() const {
  std::vector<token::VerificationKey> keys;
  for (Key& key : List()) {
    keys.push_back(std::move(key.key));
  }
  return keys;
}

}  // namespace vmattest::verification
