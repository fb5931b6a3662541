#include <rpm/rpmlog.h>

#include <cstdlib>
#include <ctime>

#include "crypto/blake3_tree.h"
#include "crypto/digest.h"
#include "disk/handles.h"
#include "disk/inspect.h"

namespace vmattest::disk {
namespace {

constexpr sqlite3_int64 kMaxSqliteHeap = sqlite3_int64{128} << 20;

}  // namespace

void Prepare() {
  for (const HashAlgorithm algorithm : kAllHashAlgorithms) {
    Hash(algorithm, {});
  }
  DetectBlake3Cpu();
  // SQLite seeds its generator from a file, on first use.
  sqlite3_initialize();
  sqlite3_hard_heap_limit64(kMaxSqliteHeap);
  uint8_t random = 0;
  sqlite3_randomness(sizeof(random), &random);
  // librpm writes about hostile headers to stderr.
  rpmlogSetMask(RPMLOG_UPTO(RPMLOG_EMERG));
  // libtsk converts the times of FAT files, and would load a zone for that.
  setenv("TZ", "UTC0", 1);
  tzset();
  const NbdHandle nbd(nbd_create());
}

}  // namespace vmattest::disk
