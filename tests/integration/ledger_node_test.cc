// vmattest-verifierd as a ledger node: over gRPC, through kill -9, and audited
// from its export.
#include <sstream>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "cli/exit_code.h"
#include "cli/ledger_command.h"
#include "cli/ledger_source.h"
#include "document/key_files.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "grpcpp/server_builder.h"
#include "nlohmann/json.hpp"
#include "support/ledger_node_process.h"
#include "support/ledger_rig.h"
#include "support/vectors.h"
#include "tlog/witness.h"
#include "vmattest/ledger/light_client.h"
#include "vmattest/v1/ledger.grpc.pb.h"

namespace vmattest {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::LedgerNodeProcess;
using testing::LedgerRig;
using testing::LedgerVm;
using ::testing::Not;
using testing::TempDir;

// Between a client and a node: what the node says, but for one VM's score.
class LyingProxy final : public v1::Ledger::Service {
 public:
  LyingProxy(v1::Ledger::Stub& node, std::string vm_uuid,
             const std::string& socket)
      : node_(node), vm_uuid_(std::move(vm_uuid)) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + socket,
                             grpc::InsecureServerCredentials());
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  grpc::Status GetCheckpoint(grpc::ServerContext*,
                             const v1::GetCheckpointRequest* request,
                             v1::GetCheckpointResponse* response) override {
    grpc::ClientContext context;
    return node_.GetCheckpoint(&context, *request, response);
  }
  grpc::Status ListRecords(grpc::ServerContext*,
                           const v1::ListRecordsRequest* request,
                           v1::ListRecordsResponse* response) override {
    grpc::ClientContext context;
    return node_.ListRecords(&context, *request, response);
  }
  grpc::Status GetTrust(grpc::ServerContext*,
                        const v1::GetTrustRequest* request,
                        v1::GetTrustResponse* response) override {
    grpc::ClientContext context;
    const grpc::Status status = node_.GetTrust(&context, *request, response);
    if (request->vm_uuid() == vm_uuid_) {
      response->set_score_milli(response->score_milli() + 20'000);
    }
    return status;
  }

 private:
  v1::Ledger::Stub& node_;
  const std::string vm_uuid_;
  std::unique_ptr<grpc::Server> server_;
};

class LedgerNodeTest : public ::testing::Test {
 protected:
  LedgerNodeTest() {
    dir_.Write("keys/test.pub",
               document::PublicKeyToJson(rig_.authority_key().public_key()));
    dir_.Write(
        "v.yaml",
        fmt::format("state_dir: {0}/state\n"
                    "listen: {{admin_socket: {0}/admin.sock}}\n"
                    "verification: {{ek_roots: {0}/none, approvers: {0}/none, "
                    "post_quantum: \"off\"}}\n"
                    "ledger: {{node: true, origin: \"{1}\", authorities: "
                    "{0}/keys, archive: {{folder: {0}/archive}}}}\n",
                    dir_.path().string(), LedgerRig::kOrigin));
    Start();
    rig_.time_ms = SystemClock().Now().time_since_epoch().count();
  }
  void Start() { node_.Start(); }
  // Looks again until the node's next checkpoint shows it.
  void AwaitNewest(uint64_t index) {
    const auto until =
        std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (Trust(1).newest().index() != index) {
      ASSERT_LT(std::chrono::steady_clock::now(), until);
      std::this_thread::yield();
    }
  }
  template <class Request, class Response>
  grpc::Status Call(grpc::Status (v1::Ledger::Stub::*method)(
                        grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response) {
    return node_.Call(method, request, response);
  }
  // "" or the refusal's code.
  std::string Submit(const Bytes& bytes) {
    v1::SubmitRequest request;
    request.set_entry(std::string(AsText(bytes)));
    v1::SubmitResponse response;
    const grpc::Status status =
        Call(&v1::Ledger::Stub::Submit, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message() << node_.log();
    if (response.committed()) {
      rig_.Accepted(*ledger::ParseEntry(bytes));
    }
    return response.refusal().code();
  }
  v1::GetTrustResponse Trust(uint8_t vm) {
    v1::GetTrustRequest request;
    request.set_vm_uuid(ToString(LedgerVm(vm)));
    v1::GetTrustResponse response;
    const grpc::Status status =
        Call(&v1::Ledger::Stub::GetTrust, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  std::filesystem::path PolicyFile() {
    return dir_.path() / "state" / "ledger.policy";
  }

  // Who lies about VM 1 is caught by the same audit.
  void ExpectALieIsCaught(cli::LedgerAuditArgs audit) {
    cli::VerifierArgs where;
    where.socket = dir_.path() / "lies.sock";
    const LyingProxy proxy(node_.stub(), ToString(LedgerVm(1)), where.socket);
    ASSERT_OK_AND_ASSIGN(const auto live, cli::LiveLedgerSource::Open(where));
    std::ostringstream out;
    std::ostringstream err;
    audit.json = true;
    EXPECT_EQ(cli::RunLedgerAudit(audit, out, err, live.get()),
              cli::kExitNotTrustworthy)
        << err.str();
    const auto json = nlohmann::json::parse(out.str());
    EXPECT_EQ(json["scores"]["compared"], 2);
    EXPECT_EQ(json["scores"]["not_compared"], 0);
    ASSERT_EQ(json["findings"].size(), 1u) << out.str();
    EXPECT_EQ(json["findings"][0]["code"], "ledger-score");
    EXPECT_EQ(json["findings"][0]["element"], "vm " + ToString(LedgerVm(1)));
  }

  LedgerNodeProcess node_;
  TempDir& dir_ = node_.dir();
  LedgerRig rig_;
};

TEST_F(LedgerNodeTest, KeepsTrustThroughKill9AndStandsAnAudit) {
  for (const char* host : {"h1", "h2"}) {
    ASSERT_EQ(Submit(rig_.Authorise(host)), "");
  }
  for (uint8_t vm = 1; vm <= 2; ++vm) {
    ASSERT_EQ(Submit(rig_.Register(vm)), "");
    ASSERT_EQ(Submit(rig_.Launch("h1", vm)), "");
  }
  ASSERT_EQ(Submit(rig_.Result("h1", 1, false)), "");
  EXPECT_EQ(Submit(rig_.Result("h2", 1, true)), "ledger-vm-home");
  EXPECT_LE(Trust(1).score_milli(), 80'000);
  EXPECT_GT(Trust(1).score_milli(), 79'900);
  EXPECT_GT(Trust(2).score_milli(), 99'900);

  // A light client believes the policy file alone.
  AwaitNewest(6);
  const v1::GetTrustResponse trust = Trust(1);
  const tlog::WitnessPolicy policy =
      *tlog::WitnessPolicy::Parse(testing::Slurp(PolicyFile()));
  std::vector<Bytes> path;
  for (const std::string& hash : trust.newest().inclusion_path()) {
    path.push_back(ToBytes(hash));
  }
  EXPECT_THAT(ledger::VerifyIncluded(trust.newest().checkpoint(), policy, 6,
                                     AsBytes(trust.newest().record()), path),
              IsOk());
  EXPECT_FALSE(ledger::VerifyIncluded(trust.newest().checkpoint(), policy, 5,
                                      AsBytes(trust.newest().record()), path)
                   .ok());

  v1::GetTrustRequest unknown;
  unknown.set_vm_uuid(ToString(LedgerVm(9)));
  v1::GetTrustResponse nobody;
  EXPECT_EQ(Call(&v1::Ledger::Stub::GetTrust, unknown, &nobody).error_code(),
            grpc::StatusCode::NOT_FOUND);

  node_.Kill();
  Start();
  EXPECT_LE(Trust(1).score_milli(), 80'000);
  EXPECT_EQ(Trust(1).fails(), 1u);
  ASSERT_EQ(Submit(rig_.Result("h1", 1, true)), "");
  v1::ListHistoryRequest history;
  history.set_vm_uuid(ToString(LedgerVm(1)));
  history.set_limit(2);
  v1::ListHistoryResponse items;
  ASSERT_TRUE(Call(&v1::Ledger::Stub::ListHistory, history, &items).ok());
  ASSERT_EQ(items.items_size(), 2);
  EXPECT_EQ(items.items(0).index(), 7u);
  EXPECT_EQ(items.items(1).index(), 6u);
  AwaitNewest(7);

  // Audited while it runs, exported, and audited again; the export is
  // continued from the node's file once that is at rest.
  std::ostringstream out;
  std::ostringstream err;
  const std::string folder = dir_.path() / "export";
  cli::LedgerAuditArgs audit{.policy = PolicyFile(),
                             .authorities = dir_.path() / "keys",
                             .quiet = true};
  cli::VerifierArgs where;
  where.socket = dir_.path() / "admin.sock";
  ASSERT_OK_AND_ASSIGN(const auto live, cli::LiveLedgerSource::Open(where));
  EXPECT_EQ(cli::RunLedgerAudit(audit, out, err, live.get()), 0) << out.str();
  EXPECT_THAT(out.str(), HasSubstr("8 of 8 records are good"));
  EXPECT_THAT(out.str(), HasSubstr("scores of 2 VMs compared with the node's"));
  EXPECT_THAT(out.str(), Not(HasSubstr("not compared")));
  ExpectALieIsCaught(audit);
  cli::LedgerExportArgs exported{.folder = folder, .quiet = true};
  ASSERT_EQ(cli::RunLedgerExport(exported, out, err, live.get()), 0)
      << err.str();
  ASSERT_EQ(Submit(rig_.Result("h1", 1, true)), "");
  AwaitNewest(8);
  const std::filesystem::path archive = dir_.path() / "archive";
  for (const auto until =
           std::chrono::steady_clock::now() + std::chrono::seconds(30);
       !std::filesystem::exists(archive / "checkpoint");) {
    ASSERT_LT(std::chrono::steady_clock::now(), until);
    std::this_thread::yield();
  }
  node_.Kill();
  EXPECT_NE(cli::RunLedgerAudit(audit, out, err, live.get()), 0);
  exported.store = dir_.path() / "state" / "ledger.db";
  // So is the node's own archive.
  for (const std::string& copy : {folder, archive.string()}) {
    std::ostringstream report;
    exported.folder = copy;
    audit.folder = copy;
    ASSERT_EQ(cli::RunLedgerExport(exported, out, err), 0) << err.str();
    EXPECT_EQ(cli::RunLedgerAudit(audit, report, err), 0)
        << report.str() << err.str();
    EXPECT_THAT(report.str(), HasSubstr("9 of 9 records are good"));
  }
}

TEST_F(LedgerNodeTest, WatchersSeeWhatIsThereAndThenWhatComes) {
  ASSERT_EQ(Submit(rig_.Authorise("h1")), "");
  ASSERT_EQ(Submit(rig_.Register(1)), "");
  ASSERT_EQ(Submit(rig_.Launch("h1", 1)), "");
  const auto until =
      std::chrono::system_clock::now() + std::chrono::seconds(30);

  grpc::ClientContext all_context;
  all_context.set_deadline(until);
  v1::WatchAllRequest all;
  all.set_begin(1);
  const auto records = node_.stub().WatchAll(&all_context, all);
  v1::WatchAllResponse record;
  for (const uint64_t index : {1, 2}) {
    ASSERT_TRUE(records->Read(&record));
    EXPECT_EQ(record.index(), index);
  }
  grpc::ClientContext vm_context;
  vm_context.set_deadline(until);
  v1::WatchVmRequest vm;
  vm.set_vm_uuid(ToString(LedgerVm(1)));
  const auto trust = node_.stub().WatchVm(&vm_context, vm);
  v1::GetTrustResponse now;
  ASSERT_TRUE(trust->Read(&now));
  EXPECT_EQ(now.fails(), 0u);

  ASSERT_EQ(Submit(rig_.Result("h1", 1, false)), "");
  ASSERT_TRUE(records->Read(&record));
  EXPECT_EQ(record.index(), 3u);
  while (now.fails() == 0) {  // a checkpoint may come between
    ASSERT_TRUE(trust->Read(&now));
  }
  EXPECT_LE(now.score_milli(), 80'000);

  // Ended by whoever watches, or by a node that goes away.
  all_context.TryCancel();
  EXPECT_FALSE(records->Read(&record));
  EXPECT_EQ(records->Finish().error_code(), grpc::StatusCode::CANCELLED);
  node_.Kill();
  while (trust->Read(&now)) {
  }
  EXPECT_EQ(trust->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);

  Start();
  grpc::ClientContext unknown_context;
  unknown_context.set_wait_for_ready(true);
  unknown_context.set_deadline(until);
  vm.set_vm_uuid(ToString(LedgerVm(9)));
  const auto nobody = node_.stub().WatchVm(&unknown_context, vm);
  EXPECT_FALSE(nobody->Read(&now));
  EXPECT_EQ(nobody->Finish().error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(LedgerNodeTest, CosignsACheckpointOnceAndOnlyWithItsNewestRecord) {
  ASSERT_EQ(Submit(rig_.Authorise("h1")), "");
  ASSERT_EQ(Submit(rig_.Register(1)), "");
  AwaitNewest(1);
  v1::GetCheckpointResponse checkpoint;
  ASSERT_TRUE(Call(&v1::Ledger::Stub::GetCheckpoint, v1::GetCheckpointRequest(),
                   &checkpoint)
                  .ok());
  ASSERT_EQ(checkpoint.witnessed(), 2u);
  v1::ListRecordsRequest last;
  last.set_begin(1);
  v1::ListRecordsResponse records;
  ASSERT_TRUE(Call(&v1::Ledger::Stub::ListRecords, last, &records).ok());
  v1::GetInclusionProofRequest wanted;
  wanted.set_index(1);
  wanted.set_size(2);
  v1::GetInclusionProofResponse proof;
  ASSERT_TRUE(Call(&v1::Ledger::Stub::GetInclusionProof, wanted, &proof).ok());

  v1::AddCheckpointRequest request;
  request.set_body(
      tlog::EncodeAddCheckpoint({.note = checkpoint.checkpoint()}));
  *request.mutable_inclusion_path() = proof.path();
  v1::AddCheckpointResponse response;
  const auto add = [&] {
    const grpc::Status status =
        Call(&v1::Ledger::Stub::AddCheckpoint, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.status();
  };
  request.set_newest_record("another");
  EXPECT_EQ(add(), 422u) << response.body();
  request.set_newest_record(records.records(0));
  EXPECT_EQ(add(), 200u) << response.body();
  EXPECT_THAT(response.body(), HasSubstr("/witness"));
  EXPECT_EQ(add(), 409u);  // it has seen more than "old 0"
  EXPECT_EQ(response.body(), "2\n");
}

TEST_F(LedgerNodeTest, ARolledBackStoreStopsTheNodeAndSaysSo) {
  ASSERT_EQ(Submit(rig_.Authorise("h1")), "");
  ASSERT_EQ(Submit(rig_.Register(1)), "");
  AwaitNewest(1);
  node_.Kill();
  // The ledger's files alone are lost; what the node signed is not.
  for (const char* name : {"ledger.db", "ledger.db-wal", "ledger.db-shm"}) {
    std::filesystem::remove(dir_.path() / "state" / name);
  }
  node_.Start();
  EXPECT_NE(node_.Wait(), 0);
  EXPECT_THAT(node_.log(), HasSubstr("it was rolled back"));
}

}  // namespace
}  // namespace vmattest
