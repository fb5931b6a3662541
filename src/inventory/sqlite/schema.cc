#include "inventory/sqlite/schema.h"

#include <array>

namespace vmattest::inventory {
namespace {

// "VMAT": tells our files from other people's.
constexpr int kApplicationId = 0x564D4154;

// kSteps[n] leads from version n to n + 1. Never changed once released.
constexpr std::array<const char*, kSchemaVersion> kSteps = {R"sql(
CREATE TABLE counter(
  id INTEGER PRIMARY KEY CHECK (id = 0),
  last_sequence INTEGER NOT NULL) STRICT;
INSERT INTO counter VALUES(0, 0);
CREATE TABLE vm(
  uuid BLOB PRIMARY KEY CHECK (length(uuid) = 16),
  name TEXT NOT NULL,
  state TEXT NOT NULL,
  persistent INTEGER NOT NULL,
  algorithm INTEGER,
  root BLOB,
  leaf_count INTEGER,
  time_unix_ms INTEGER,
  cause TEXT,
  error TEXT) STRICT, WITHOUT ROWID;
CREATE TABLE event(
  sequence INTEGER PRIMARY KEY,
  uuid BLOB NOT NULL REFERENCES vm(uuid) DEFERRABLE INITIALLY DEFERRED,
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  event_unix_ms INTEGER NOT NULL,
  changed INTEGER NOT NULL,
  algorithm INTEGER,
  root BLOB,
  leaf_count INTEGER,
  time_unix_ms INTEGER,
  cause TEXT,
  error TEXT) STRICT;
CREATE INDEX event_by_vm ON event(uuid);
)sql",
                                                            R"sql(
CREATE TABLE salt(
  uuid BLOB PRIMARY KEY CHECK (length(uuid) = 16),
  salt BLOB NOT NULL CHECK (length(salt) = 32)) STRICT, WITHOUT ROWID;
)sql"};

}  // namespace

absl::Status PrepareSchema(sqlite::Database& database) {
  return sqlite::PrepareSchema(
      database,
      {.application_id = kApplicationId, .steps = kSteps, .name = "inventory"});
}

}  // namespace vmattest::inventory
