#include "sqlite/schema.h"

#include <filesystem>

#include "gmock/gmock.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::sqlite {
namespace {

using ::testing::HasSubstr;
using vmattest::testing::IsOk;
using vmattest::testing::StatusIs;
using vmattest::testing::TempDir;

constexpr const char* kOne[] = {"CREATE TABLE a(x INTEGER) STRICT;"};
constexpr const char* kTwo[] = {"CREATE TABLE a(x INTEGER) STRICT;",
                                "ALTER TABLE a ADD y INTEGER;"};
constexpr const char* kBroken[] = {"CREATE TABLE a(x INTEGER) STRICT;",
                                   "ALTER TABLE none ADD y INTEGER;"};

class SchemaTest : public ::testing::Test {
 protected:
  absl::Status Prepare(std::span<const char* const> steps, int kind = 7) {
    database_.emplace(*Database::Open(dir_.path() / "file", "thing"));
    return PrepareSchema(
        *database_, {.application_id = kind, .steps = steps, .name = "thing"});
  }
  std::string Value(const std::string& sql) {
    return database_->Value(sql).value_or("?");
  }

  const TempDir dir_;
  std::optional<Database> database_;
};

TEST_F(SchemaTest, WhatDurabilityNeedsIsSet) {
  ASSERT_THAT(Prepare(kOne), IsOk());
  EXPECT_EQ(Value("PRAGMA journal_mode"), "wal");
  EXPECT_EQ(Value("PRAGMA synchronous"), "2");
  EXPECT_EQ(Value("PRAGMA foreign_keys"), "1");
}

TEST_F(SchemaTest, WhereTheWriteAheadLogDoesNotHoldIsRefused) {
  absl::StatusOr<Database> memory = Database::Open(":memory:", "thing");
  ASSERT_THAT(memory, IsOk());
  EXPECT_THAT(
      PrepareSchema(*memory,
                    {.application_id = 7, .steps = kOne, .name = "thing"}),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               HasSubstr("journal_mode=memory where WAL is needed")));
  std::filesystem::remove(":memory:");  // Open() made a file of that name
}

TEST_F(SchemaTest, StepsAreTakenOnceAndAllOrNone) {
  ASSERT_THAT(Prepare(kOne), IsOk());
  EXPECT_FALSE(Prepare(kBroken).ok());
  EXPECT_EQ(Value("PRAGMA user_version"), "1");
  ASSERT_THAT(Prepare(kTwo), IsOk());
  ASSERT_THAT(Prepare(kTwo), IsOk());
  EXPECT_EQ(Value("SELECT count(y) FROM a"), "0");
}

TEST_F(SchemaTest, AnotherKindAndANewerVersionAreRefused) {
  ASSERT_THAT(Prepare(kTwo), IsOk());
  EXPECT_THAT(Prepare(kTwo, 8),
              StatusIs(absl::StatusCode::kDataLoss,
                       HasSubstr("this is not a vmattest thing")));
  EXPECT_THAT(Prepare(kOne),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("written by a newer vmattest")));
}

}  // namespace
}  // namespace vmattest::sqlite
