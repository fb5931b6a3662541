#include "etcd/key_values.h"

#include "fmt/format.h"

namespace vmattest::etcd {
namespace {

constexpr size_t kMostShown = 100;

}  // namespace

std::string PrefixEnd(std::string prefix) {
  while (!prefix.empty() && prefix.back() == '\xff') {
    prefix.pop_back();
  }
  if (prefix.empty()) {
    return std::string(1, '\0');  // etcd: to the last key
  }
  ++prefix.back();
  return prefix;
}

std::string Printable(std::string_view key) {
  std::string shown;
  for (const char c : key.substr(0, kMostShown)) {
    if (c > ' ' && c < '\x7f' && c != '\\') {
      shown += c;
    } else {
      shown += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return key.size() > kMostShown ? shown + "..." : shown;
}

}  // namespace vmattest::etcd
