#include <array>
#include <charconv>
#include <tuple>

#include "etcd/grpc/grpc_key_values.h"
#include "fmt/format.h"

namespace vmattest::etcd {
namespace {

using Version = std::array<unsigned, 3>;

constexpr Version kFloor35{3, 5, 33};
constexpr Version kFloor36{3, 6, 14};

// "3.6.14-rc.1" counts as what it leads to.
absl::StatusOr<Version> ReadVersion(std::string_view text) {
  Version version{};
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  for (size_t i = 0; i < version.size(); ++i) {
    const auto [next, error] = std::from_chars(at, end, version[i]);
    const bool last = i + 1 == version.size();
    if (error != std::errc() || (!last && (next == end || *next != '.'))) {
      return absl::FailedPreconditionError(
          fmt::format("'{}' is no etcd version", text.substr(0, 32)));
    }
    at = last ? next : next + 1;
  }
  return version;
}

}  // namespace

absl::Status CheckVersion(std::string_view version) {
  ASSIGN_OR_RETURN(const Version found, ReadVersion(version));
  const Version minor{found[0], found[1], 0};
  const bool safe = minor > Version{3, 6, 0}    ? true
                    : minor == Version{3, 6, 0} ? found >= kFloor36
                    : minor == Version{3, 5, 0} ? found >= kFloor35
                                                : false;
  if (!safe) {
    return absl::FailedPreconditionError(
        fmt::format("etcd {} is not safe to use; 3.5.33, 3.6.14 or newer is "
                    "(allow_unsafe_version takes it all the same)",
                    version));
  }
  return absl::OkStatus();
}

}  // namespace vmattest::etcd
