// rpm's database: SQLite pages, a write-ahead log, header blobs for librpm. The
// first byte says which.

#include "disk/rpm_database.h"

#include <cstdlib>

#include "disk/inspect.h"
#include "disk/sqlite_wal.h"
#include "fuzz/sparse_image.h"

namespace {

using vmattest::Bytes;
using vmattest::ByteView;

void Check(const vmattest::disk::InstalledPackage& package) {
  if (package.name.empty()) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool prepared = [] {
    vmattest::disk::Prepare();
    return true;
  }();
  static_cast<void>(prepared);
  if (size == 0) {
    return 0;
  }
  const ByteView rest(data + 1, size - 1);
  if (data[0] % 3 == 0) {
    const auto package = vmattest::disk::ParseRpmHeader(rest);
    if (package.ok()) {
      Check(*package);
    }
  } else if (data[0] % 3 == 1) {
    const auto packages =
        vmattest::disk::ParseRpmDatabase(vmattest::fuzz::ExpandImage(rest), {});
    for (const auto& package :
         packages.value_or(std::vector<vmattest::disk::InstalledPackage>())) {
      Check(package);
    }
  } else {
    Bytes database(4096);
    constexpr size_t kMaxSize = size_t{1} << 22;
    if (vmattest::disk::ApplyWal(vmattest::fuzz::ExpandImage(rest), kMaxSize,
                                 database)
            .ok() &&
        database.size() > kMaxSize) {
      std::abort();
    }
  }
  return 0;
}
