#include "verification/sqlite/schema.h"

#include <array>

namespace vmattest::verification {
namespace {

// "VMAV": tells our files from other people's.
constexpr int kApplicationId = 0x564D4156;

// kSteps[n] leads from version n to n + 1. Never changed once released.
constexpr std::array<const char*, 3> kSteps = {R"sql(
CREATE TABLE counter(
  id INTEGER PRIMARY KEY CHECK (id = 0),
  last_sequence INTEGER NOT NULL,
  revocation_epoch INTEGER NOT NULL) STRICT;
INSERT INTO counter VALUES(0, 0, 0);
CREATE TABLE host(
  host_id TEXT PRIMARY KEY,
  state INTEGER NOT NULL CHECK (state IN (1, 2, 3)),
  revision INTEGER NOT NULL CHECK (revision > 0),
  client_identity TEXT NOT NULL,
  hostname TEXT NOT NULL,
  ek_trust TEXT NOT NULL,
  ak_name BLOB NOT NULL UNIQUE,
  ek_fingerprint BLOB NOT NULL UNIQUE,
  identity BLOB NOT NULL,
  record BLOB NOT NULL,
  since_unix_ms INTEGER NOT NULL,
  revocation_reason TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX host_by_client ON host(client_identity) WHERE state<>3;
CREATE INDEX revoked_by_client ON host(client_identity) WHERE state=3;
CREATE TABLE permit(
  host_id TEXT PRIMARY KEY,
  ak_name BLOB NOT NULL,
  expires_unix_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE reference(
  name TEXT NOT NULL,
  revision INTEGER NOT NULL CHECK (revision > 0),
  mode TEXT NOT NULL,
  not_before_unix_ms INTEGER NOT NULL,
  not_after_unix_ms INTEGER NOT NULL,
  approver TEXT NOT NULL,
  signer_key_id BLOB NOT NULL,
  stored_unix_ms INTEGER NOT NULL,
  document BLOB NOT NULL,
  PRIMARY KEY (name, revision)) STRICT;
CREATE TABLE claim(
  vm_uuid TEXT NOT NULL,
  name TEXT NOT NULL,
  revision INTEGER NOT NULL,
  PRIMARY KEY (vm_uuid, name, revision),
  FOREIGN KEY (name, revision) REFERENCES reference(name, revision))
  STRICT, WITHOUT ROWID;
CREATE INDEX claim_by_reference ON claim(name, revision);
CREATE TABLE decision(
  sequence INTEGER PRIMARY KEY,
  kind INTEGER NOT NULL CHECK (kind IN (1, 2, 3)),
  time_unix_ms INTEGER NOT NULL,
  vm_uuid TEXT NOT NULL,
  vm_name TEXT NOT NULL,
  host_id TEXT NOT NULL,
  trusted INTEGER NOT NULL,
  genuine INTEGER NOT NULL,
  reasons BLOB NOT NULL,
  reference TEXT NOT NULL,
  root BLOB NOT NULL,
  ear TEXT NOT NULL) STRICT;
CREATE INDEX decision_by_vm ON decision(vm_uuid, sequence);
CREATE INDEX decision_by_host ON decision(host_id, vm_uuid) WHERE genuine = 1;
CREATE TABLE evidence(
  sequence INTEGER PRIMARY KEY REFERENCES decision(sequence),
  vm_uuid TEXT NOT NULL,
  trusted INTEGER NOT NULL,
  evidence BLOB NOT NULL) STRICT;
CREATE INDEX evidence_by_vm ON evidence(vm_uuid, sequence);
)sql",
                                               R"sql(
CREATE TABLE break_glass(
  serial BLOB PRIMARY KEY,
  vm_uuid TEXT NOT NULL,
  host_id TEXT NOT NULL,
  not_after_unix_ms INTEGER NOT NULL,
  stored_unix_ms INTEGER NOT NULL,
  document BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX break_glass_by_host ON break_glass(host_id, serial);
)sql",
                                               R"sql(
CREATE TABLE baseline(
  name TEXT NOT NULL,
  revision INTEGER NOT NULL CHECK (revision > 0),
  subset TEXT NOT NULL,
  vm_uuids TEXT NOT NULL,
  not_before_unix_ms INTEGER NOT NULL,
  not_after_unix_ms INTEGER NOT NULL,
  approver TEXT NOT NULL,
  signer_key_id BLOB NOT NULL,
  stored_unix_ms INTEGER NOT NULL,
  document BLOB NOT NULL,
  pages BLOB NOT NULL,
  PRIMARY KEY (name, revision)) STRICT;
CREATE TABLE baseline_claim(
  vm_uuid TEXT NOT NULL,
  subset TEXT NOT NULL,
  name TEXT NOT NULL,
  PRIMARY KEY (vm_uuid, subset)) STRICT, WITHOUT ROWID;
CREATE INDEX baseline_claim_by_name ON baseline_claim(name);
)sql"};

constexpr std::pair<sqlite::StatementHandle Statements::*, const char*>
    kStatements[] = {
        {&Statements::find_host, "SELECT * FROM host WHERE host_id=?"},
        {&Statements::find_host_of_client,
         "SELECT * FROM host WHERE client_identity=? "
         "ORDER BY state LIMIT 1"},
        {&Statements::find_hosts_of_keys,
         "SELECT * FROM host WHERE ak_name=? OR ek_fingerprint=?"},
        {&Statements::list_hosts,
         "SELECT * FROM host WHERE host_id>? ORDER BY host_id LIMIT ?"},
        {&Statements::put_host,
         "INSERT INTO host VALUES(?,?,?,?,?,?,?,?,?,?,?,?) ON "
         "CONFLICT(host_id) "
         "DO UPDATE SET state=excluded.state,revision=excluded.revision,"
         "client_identity=excluded.client_identity,"
         "hostname=excluded.hostname,ek_trust=excluded.ek_trust,"
         "ak_name=excluded.ak_name,ek_fingerprint=excluded.ek_fingerprint,"
         "identity=excluded.identity,record=excluded.record,"
         "since_unix_ms=excluded.since_unix_ms,"
         "revocation_reason=excluded.revocation_reason"},
        {&Statements::raise_epoch,
         "UPDATE counter SET revocation_epoch=revocation_epoch+1"},
        {&Statements::epoch, "SELECT revocation_epoch FROM counter"},
        {&Statements::put_permit,
         "INSERT INTO permit VALUES(?,?,?) ON CONFLICT(host_id) DO UPDATE SET "
         "ak_name=excluded.ak_name,expires_unix_ms=excluded.expires_unix_ms"},
        {&Statements::find_permit, "SELECT * FROM permit WHERE host_id=?"},
        {&Statements::drop_permit, "DELETE FROM permit WHERE host_id=?"},

        {&Statements::newest_revision,
         "SELECT coalesce(max(revision),0) FROM reference WHERE name=?"},
        {&Statements::claimed_by_other,
         "SELECT name FROM claim WHERE vm_uuid=?1 AND name<>?2 AND revision="
         "(SELECT max(revision) FROM reference WHERE name=claim.name)"},
        {&Statements::put_reference,
         "INSERT INTO reference VALUES(?,?,?,?,?,?,?,?,?)"},
        {&Statements::put_claim, "INSERT INTO claim VALUES(?,?,?)"},
        {&Statements::find_reference,
         "SELECT * FROM reference WHERE name=?1 AND revision=coalesce("
         "nullif(?2,0),(SELECT max(revision) FROM reference WHERE name=?1))"},
        {&Statements::revisions_of,
         "SELECT revision FROM reference WHERE name=? ORDER BY revision"},
        {&Statements::list_references,
         "SELECT name,revision,mode,not_before_unix_ms,not_after_unix_ms,"
         "approver,signer_key_id,stored_unix_ms,x'' FROM reference r WHERE "
         "name>? AND revision=(SELECT max(revision) FROM reference WHERE "
         "name=r.name) ORDER BY name LIMIT ?"},
        {&Statements::references_of,
         "SELECT name,revision,mode,not_before_unix_ms,not_after_unix_ms,"
         "approver,signer_key_id,stored_unix_ms,x'' FROM reference r WHERE "
         "name IN (SELECT DISTINCT name FROM claim WHERE vm_uuid=?1) AND "
         "revision=(SELECT max(revision) FROM reference WHERE name=r.name AND "
         "not_before_unix_ms<=?2 AND not_after_unix_ms>?2) ORDER BY name"},
        {&Statements::claims,
         "SELECT vm_uuid FROM claim WHERE name=? AND revision=? ORDER BY 1"},

        {&Statements::put_order, "INSERT INTO break_glass VALUES(?,?,?,?,?,?)"},
        {&Statements::find_order, "SELECT 1 FROM break_glass WHERE serial=?"},
        {&Statements::orders_of,
         "SELECT * FROM break_glass WHERE host_id=? AND not_after_unix_ms>=? "
         "ORDER BY serial"},
        {&Statements::drop_orders,
         "DELETE FROM break_glass WHERE not_after_unix_ms<?"},

        {&Statements::newest_baseline,
         "SELECT coalesce(max(revision),0) FROM baseline WHERE name=?"},
        {&Statements::baseline_claimed_by_other,
         "SELECT name FROM baseline_claim WHERE vm_uuid=? AND subset=? AND "
         "name<>?"},
        {&Statements::drop_baseline_claims,
         "DELETE FROM baseline_claim WHERE name=?"},
        {&Statements::put_baseline_claim,
         "INSERT INTO baseline_claim VALUES(?,?,?)"},
        {&Statements::put_baseline,
         "INSERT INTO baseline VALUES(?,?,?,?,?,?,?,?,?,?,?)"},
        {&Statements::find_baseline,
         "SELECT name,revision,subset,vm_uuids,not_before_unix_ms,"
         "not_after_unix_ms,approver,signer_key_id,stored_unix_ms,document "
         "FROM baseline WHERE name=?1 AND revision=coalesce("
         "nullif(?2,0),(SELECT max(revision) FROM baseline WHERE name=?1))"},
        {&Statements::baseline_pages,
         "SELECT pages FROM baseline WHERE name=? AND revision=?"},
        {&Statements::list_baselines,
         "SELECT name,revision,subset,vm_uuids,not_before_unix_ms,"
         "not_after_unix_ms,approver,signer_key_id,stored_unix_ms,x'' "
         "FROM baseline b WHERE name>? AND revision=(SELECT max(revision) FROM "
         "baseline WHERE name=b.name) ORDER BY name LIMIT ?"},
        {&Statements::baseline_revisions,
         "SELECT revision FROM baseline WHERE name=? ORDER BY revision"},
        {&Statements::baseline_of,
         "SELECT name FROM baseline_claim WHERE vm_uuid=? AND subset=?"},

        {&Statements::next_sequence,
         "UPDATE counter SET last_sequence=last_sequence+1 "
         "RETURNING last_sequence"},
        {&Statements::last_sequence, "SELECT last_sequence FROM counter"},
        {&Statements::add_decision,
         "INSERT INTO decision VALUES(?,?,?,?,?,?,?,?,?,?,?,?)"},
        {&Statements::add_evidence, "INSERT INTO evidence VALUES(?,?,?,?)"},
        {&Statements::drop_evidence,
         "DELETE FROM evidence WHERE vm_uuid=?1 AND sequence<=(SELECT sequence "
         "FROM evidence WHERE vm_uuid=?1 ORDER BY sequence DESC LIMIT 1 "
         "OFFSET ?2)"},
        {&Statements::list_decisions,
         "SELECT * FROM decision WHERE sequence<? AND kind=1 AND trusted<=? "
         "ORDER BY sequence DESC LIMIT ?"},
        {&Statements::list_vm_decisions,
         "SELECT * FROM decision WHERE sequence<? AND kind=1 AND trusted<=? "
         "AND vm_uuid=? ORDER BY sequence DESC LIMIT ?"},
        {&Statements::decisions_after,
         "SELECT * FROM decision WHERE sequence>? ORDER BY sequence LIMIT ?"},
        {&Statements::find_decision, "SELECT * FROM decision WHERE sequence=?"},
        {&Statements::find_evidence,
         "SELECT evidence FROM evidence WHERE sequence=?"},
        {&Statements::newest_evidence,
         "SELECT * FROM evidence WHERE sequence<? ORDER BY sequence DESC "
         "LIMIT ?"},
        {&Statements::newest_vm_evidence,
         "SELECT * FROM evidence WHERE sequence<? AND vm_uuid=? "
         "ORDER BY sequence DESC LIMIT ?"},
        {&Statements::vms_of_host,
         "SELECT DISTINCT vm_uuid FROM decision WHERE host_id=? AND genuine=1 "
         "ORDER BY vm_uuid LIMIT ?"},
        {&Statements::trim_evidence,
         "DELETE FROM evidence WHERE sequence<="
         "(SELECT last_sequence FROM counter)-?"},
        {&Statements::trim_decisions,
         "DELETE FROM decision WHERE sequence<="
         "(SELECT last_sequence FROM counter)-?"},
};

}  // namespace

absl::Status PrepareSchema(sqlite::Database& database) {
  return sqlite::PrepareSchema(database, {.application_id = kApplicationId,
                                          .steps = kSteps,
                                          .name = "verifier store"});
}

absl::Status Prepare(sqlite::Database& database, Statements& statements) {
  for (const auto& [statement, sql] : kStatements) {
    ASSIGN_OR_RETURN(statements.*statement, database.Prepare(sql));
  }
  return absl::OkStatus();
}

}  // namespace vmattest::verification
