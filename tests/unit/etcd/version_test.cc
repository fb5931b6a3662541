#include "etcd/grpc/grpc_key_values.h"
#include "gmock/gmock.h"
#include "support/matchers.h"

namespace vmattest::testing {
namespace {

using ::testing::HasSubstr;

TEST(EtcdVersion, TakesOnlyThoseWithTheFixes) {
  for (const char* version : {"3.5.33", "3.5.34", "3.6.14", "3.6.20", "3.7.0",
                              "3.7.1", "4.0.0", "3.6.14-rc.1"}) {
    EXPECT_THAT(etcd::CheckVersion(version), IsOk()) << version;
  }
  for (const char* version : {"3.4.23", "3.4.45", "3.5.32", "3.5.0", "3.6.0",
                              "3.6.13", "2.3.8", "0.0.0"}) {
    EXPECT_THAT(
        etcd::CheckVersion(version),
        StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(version)))
        << version;
  }
}

TEST(EtcdVersion, RefusesWhatIsNoVersion) {
  for (const char* version : {"", "3", "3.6", "3.6.", "v3.6.14", "3.6.x",
                              "3..14", "-3.6.14", "99999999999.1.1"}) {
    EXPECT_THAT(etcd::CheckVersion(version),
                StatusIs(absl::StatusCode::kFailedPrecondition))
        << version;
  }
}

}  // namespace
}  // namespace vmattest::testing
