#ifndef VMATTEST_VERIFICATION_SQLITE_SCHEMA_H_
#define VMATTEST_VERIFICATION_SQLITE_SCHEMA_H_

#include "sqlite/schema.h"

namespace vmattest::verification {

// sqlite::PrepareSchema with the tables of the verifier.
absl::Status PrepareSchema(sqlite::Database& database);

// One prepared statement for each thing that the store does.
struct Statements {
  sqlite::StatementHandle find_host;
  sqlite::StatementHandle find_host_of_client;
  sqlite::StatementHandle find_hosts_of_keys;
  sqlite::StatementHandle list_hosts;
  sqlite::StatementHandle put_host;
  sqlite::StatementHandle raise_epoch;
  sqlite::StatementHandle epoch;
  sqlite::StatementHandle put_permit;
  sqlite::StatementHandle find_permit;
  sqlite::StatementHandle drop_permit;

  sqlite::StatementHandle newest_revision;
  sqlite::StatementHandle claimed_by_other;
  sqlite::StatementHandle put_reference;
  sqlite::StatementHandle put_claim;
  sqlite::StatementHandle find_reference;
  sqlite::StatementHandle revisions_of;
  sqlite::StatementHandle list_references;
  sqlite::StatementHandle references_of;
  sqlite::StatementHandle claims;

  sqlite::StatementHandle put_order;
  sqlite::StatementHandle find_order;
  sqlite::StatementHandle orders_of;
  sqlite::StatementHandle drop_orders;

  sqlite::StatementHandle newest_baseline;
  sqlite::StatementHandle baseline_claimed_by_other;
  sqlite::StatementHandle drop_baseline_claims;
  sqlite::StatementHandle put_baseline_claim;
  sqlite::StatementHandle put_baseline;
  sqlite::StatementHandle find_baseline;
  sqlite::StatementHandle baseline_pages;
  sqlite::StatementHandle list_baselines;
  sqlite::StatementHandle baseline_revisions;
  sqlite::StatementHandle baseline_of;

  sqlite::StatementHandle next_sequence;
  sqlite::StatementHandle last_sequence;
  sqlite::StatementHandle add_decision;
  sqlite::StatementHandle add_evidence;
  sqlite::StatementHandle drop_evidence;
  sqlite::StatementHandle list_decisions;
  sqlite::StatementHandle list_vm_decisions;
  sqlite::StatementHandle decisions_after;
  sqlite::StatementHandle find_decision;
  sqlite::StatementHandle find_evidence;
  sqlite::StatementHandle newest_evidence;
  sqlite::StatementHandle newest_vm_evidence;
  sqlite::StatementHandle vms_of_host;
  sqlite::StatementHandle trim_decisions;
  sqlite::StatementHandle trim_evidence;
};
absl::Status Prepare(sqlite::Database& database, Statements& statements);

}  // namespace vmattest::verification

#endif  // VMATTEST_VERIFICATION_SQLITE_SCHEMA_H_
