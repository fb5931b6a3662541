// The commands that ask a daemon or a verifier, against services that answer
// what a test says, over a real socket.
#include <map>
#include <memory>
#include <sstream>

#include "base/file.h"
#include "cli/decisions_command.h"
#include "cli/exit_code.h"
#include "cli/hosts_command.h"
#include "cli/inventory_commands.h"
#include "cli/keys_command.h"
#include "cli/references_command.h"
#include "cli/start_command.h"
#include "gmock/gmock.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "support/matchers.h"
#include "support/temp_dir.h"
#include "vmattest/v1/admin.grpc.pb.h"
#include "vmattest/v1/enrollment.grpc.pb.h"
#include "vmattest/v1/verifier.grpc.pb.h"

namespace vmattest::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::Not;

template <class Request, class Response>
struct Method {
  Request asked;
  Response answer;
  grpc::Status status;

  grpc::Status Serve(const Request* request, Response* response) {
    asked = *request;
    *response = answer;
    return status;
  }
};

class Admin final : public v1::Admin::Service {
 public:
  grpc::Status StartVm(grpc::ServerContext*, const v1::StartVmRequest* request,
                       v1::StartVmResponse* response) override {
    return start.Serve(request, response);
  }
  grpc::Status GetStatus(grpc::ServerContext*,
                         const v1::GetStatusRequest* request,
                         v1::GetStatusResponse* response) override {
    return status.Serve(request, response);
  }
  grpc::Status RotateKey(grpc::ServerContext*,
                         const v1::RotateKeyRequest* request,
                         v1::RotateKeyResponse* response) override {
    return rotate.Serve(request, response);
  }

  Method<v1::StartVmRequest, v1::StartVmResponse> start;
  Method<v1::GetStatusRequest, v1::GetStatusResponse> status;
  Method<v1::RotateKeyRequest, v1::RotateKeyResponse> rotate;
};

class Enrollment final : public v1::Enrollment::Service {
 public:
  grpc::Status ListHosts(grpc::ServerContext*,
                         const v1::ListHostsRequest* request,
                         v1::ListHostsResponse* response) override {
    *response = pages[request->page_token()];
    return grpc::Status::OK;
  }
  grpc::Status RevokeHost(grpc::ServerContext*,
                          const v1::RevokeHostRequest* request,
                          v1::RevokeHostResponse* response) override {
    return revoke.Serve(request, response);
  }

  std::map<std::string, v1::ListHostsResponse> pages;
  Method<v1::RevokeHostRequest, v1::RevokeHostResponse> revoke;
};

class Verifier final : public v1::Verifier::Service {
 public:
  grpc::Status RequestAttestation(grpc::ServerContext*,
                                  const v1::RequestAttestationRequest* request,
                                  v1::AppraiseResponse* response) override {
    return attest.Serve(request, response);
  }
  grpc::Status Simulate(grpc::ServerContext*,
                        const v1::SimulateRequest* request,
                        v1::SimulateResponse* response) override {
    return simulate.Serve(request, response);
  }
  grpc::Status GetDecision(grpc::ServerContext*,
                           const v1::GetDecisionRequest* request,
                           v1::GetDecisionResponse* response) override {
    return decision.Serve(request, response);
  }
  grpc::Status PutReference(grpc::ServerContext*,
                            const v1::PutReferenceRequest* request,
                            v1::PutReferenceResponse* response) override {
    return put.Serve(request, response);
  }

  Method<v1::RequestAttestationRequest, v1::AppraiseResponse> attest;
  Method<v1::SimulateRequest, v1::SimulateResponse> simulate;
  Method<v1::GetDecisionRequest, v1::GetDecisionResponse> decision;
  Method<v1::PutReferenceRequest, v1::PutReferenceResponse> put;
};

class ClientCommandsTest : public ::testing::Test {
 protected:
  ClientCommandsTest() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + socket_,
                             grpc::InsecureServerCredentials());
    builder.RegisterService(&admin_);
    builder.RegisterService(&enrollment_);
    builder.RegisterService(&verifier_);
    server_ = builder.BuildAndStart();
  }
  template <class Args>
  Args For() const {
    Args args;
    args.connection.socket = socket_;
    args.connection.timeout = std::chrono::seconds(20);
    return args;
  }

  testing::TempDir dir_;
  const std::string socket_ = dir_.path() / "sock";
  Admin admin_;
  Enrollment enrollment_;
  Verifier verifier_;
  std::unique_ptr<grpc::Server> server_;
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(ClientCommandsTest, StartSaysThatTheVmRuns) {
  auto args = For<StartArgs>();
  args.vm = "web";
  args.keep_paused = true;
  admin_.start.answer.set_state("running");
  EXPECT_EQ(RunStart(args, out_, err_), kExitGood);
  EXPECT_EQ(out_.str(), "VM 'web' runs as approved\n");
  EXPECT_THAT(err_.str(), IsEmpty());
  EXPECT_EQ(admin_.start.asked.vm(), "web");
  EXPECT_TRUE(admin_.start.asked.keep_paused());
}

TEST_F(ClientCommandsTest, StartNamesWhyAVmWasRefusedOrEnded) {
  auto args = For<StartArgs>();
  args.vm = "web";
  admin_.start.answer.set_code("gate-refused");
  admin_.start.answer.set_sentence("os/cmdline:\x1b[2J changed");
  for (const auto& [state, fate] :
       {std::pair("refused", "is refused"),
        std::pair("ended", "was ended before it ran"),
        std::pair("paused", "stays paused")}) {
    admin_.start.answer.set_state(state);
    err_.str("");
    EXPECT_EQ(RunStart(args, out_, err_), kExitNotTrustworthy);
    EXPECT_THAT(err_.str(), HasSubstr(fate));
    EXPECT_THAT(err_.str(), HasSubstr("[gate-refused]"));
    EXPECT_THAT(err_.str(), Not(HasSubstr("\x1b")));
  }
  EXPECT_THAT(out_.str(), IsEmpty());
  admin_.start.answer.set_state("running");
  EXPECT_EQ(RunStart(args, out_, err_), kExitGood);
  EXPECT_THAT(out_.str(), HasSubstr("although"));
}

TEST_F(ClientCommandsTest, StartTellsNoVmFromNoStart) {
  auto args = For<StartArgs>();
  args.vm = "nope";
  admin_.start.status = {grpc::StatusCode::NOT_FOUND, "domain 'nope'"};
  EXPECT_EQ(RunStart(args, out_, err_), kExitUsage);
  admin_.start.status = {grpc::StatusCode::FAILED_PRECONDITION, "it runs"};
  EXPECT_EQ(RunStart(args, out_, err_), kExitUndecided);
  args.connection.socket = dir_.path() / "nobody";
  EXPECT_EQ(RunStart(args, out_, err_), kExitUndecided);
}

TEST_F(ClientCommandsTest, StatusIsGoodIfEveryComponentServes) {
  v1::ComponentStatus* gate = admin_.status.answer.add_components();
  gate->set_name("gate");
  gate->set_serving(true);
  EXPECT_EQ(RunStatus(For<StatusArgs>(), out_), kExitGood);
  gate->set_serving(false);
  gate->set_detail("restart libvirtd");
  EXPECT_EQ(RunStatus(For<StatusArgs>(), out_), kExitUndecided);
  EXPECT_THAT(out_.str(), HasSubstr("NOT SERVING"));
  EXPECT_THAT(out_.str(), HasSubstr("restart libvirtd"));
}

TEST_F(ClientCommandsTest, KeysRotateAsksForThePurposeThatWasNamed) {
  auto args = For<KeysArgs>();
  args.action = KeysArgs::Action::kRotate;
  args.purpose = "ledger";
  admin_.rotate.answer.set_epoch(3);
  EXPECT_EQ(RunKeys(args, out_), kExitGood);
  EXPECT_EQ(admin_.rotate.asked.purpose(), v1::KEY_PURPOSE_LEDGER);
  EXPECT_THAT(out_.str(), HasSubstr("epoch 3"));
  args.purpose = "nonsense";
  EXPECT_EQ(RunKeys(args, out_), kExitUsage);
}

TEST_F(ClientCommandsTest, HostsListsAllPages) {
  enrollment_.pages[""].add_hosts()->set_host_id("first");
  enrollment_.pages[""].set_next_page_token("more");
  enrollment_.pages["more"].add_hosts()->set_host_id("second");
  EXPECT_EQ(RunHosts(For<HostsArgs>(), out_), kExitGood);
  EXPECT_THAT(out_.str(), HasSubstr("first"));
  EXPECT_THAT(out_.str(), HasSubstr("second"));
}

TEST_F(ClientCommandsTest, HostsRevokeSendsTheReason) {
  auto args = For<HostsArgs>();
  args.action = HostsArgs::Action::kRevoke;
  args.host_id = "abcd";
  args.reason = "stolen";
  enrollment_.revoke.answer.mutable_host()->set_state("revoked");
  EXPECT_EQ(RunHosts(args, out_), kExitGood);
  EXPECT_EQ(enrollment_.revoke.asked.host_id(), "abcd");
  EXPECT_EQ(enrollment_.revoke.asked.reason(), "stolen");
  EXPECT_THAT(out_.str(), HasSubstr("revoked"));
  enrollment_.revoke.status = {grpc::StatusCode::PERMISSION_DENIED, "no"};
  EXPECT_EQ(RunHosts(args, out_), kExitUndecided);
}

TEST_F(ClientCommandsTest, AppraiseOfARefusedVmSaysWhatWouldPass) {
  auto args = For<AppraiseArgs>();
  args.vm = "a045410c-221a-45fb-b0ef-341be7ce6025";
  args.out = dir_.path() / "result.jwt";
  v1::CheckFailure* failure = verifier_.attest.answer.add_failures();
  failure->set_element("os/cmdline");
  failure->set_fix("set os/cmdline to 'quiet'");
  verifier_.attest.answer.set_ear("e.a.r");
  EXPECT_EQ(RunAppraise(args, out_), kExitNotTrustworthy);
  EXPECT_EQ(verifier_.attest.asked.vm_uuid(), args.vm);
  EXPECT_THAT(out_.str(), HasSubstr("REFUSED"));
  EXPECT_THAT(out_.str(), HasSubstr("to pass: set os/cmdline to 'quiet'"));
  EXPECT_EQ(AsText(*ReadFile(args.out, 64)), "e.a.r");
  verifier_.attest.answer.set_trusted(true);
  EXPECT_EQ(RunAppraise(args, out_), kExitGood);
  args.vm.clear();
  EXPECT_EQ(RunAppraise(args, out_), kExitUsage);
}

TEST_F(ClientCommandsTest, SimulateTellsAWarningFromAllWell) {
  auto args = For<ReferencesArgs>();
  args.action = ReferencesArgs::Action::kSimulate;
  args.file = dir_.Write("reference.yaml", "name: web\n");
  verifier_.simulate.answer.set_examined(7);
  EXPECT_EQ(RunReferences(args, out_), kExitGood);
  EXPECT_EQ(verifier_.simulate.asked.yaml(), "name: web\n");
  EXPECT_THAT(out_.str(), HasSubstr("0 of 7 would flip"));
  verifier_.simulate.answer.add_flips()->set_trusted_before(true);
  EXPECT_EQ(RunReferences(args, out_), kExitNotTrustworthy);
  EXPECT_THAT(out_.str(), HasSubstr("trusted -> refused"));
}

TEST_F(ClientCommandsTest, ReferencesPutSendsTheFileAsItIs) {
  auto args = For<ReferencesArgs>();
  args.action = ReferencesArgs::Action::kPut;
  args.file = dir_.Write("document", std::string("\0\1two", 5));
  verifier_.put.answer.set_name("web");
  verifier_.put.answer.set_revision(4);
  EXPECT_EQ(RunReferences(args, out_), kExitGood);
  EXPECT_EQ(verifier_.put.asked.document(), std::string("\0\1two", 5));
  EXPECT_EQ(out_.str(), "web@4\n");
  args.file = dir_.path() / "none";
  EXPECT_EQ(RunReferences(args, out_), kExitUsage);
}

TEST_F(ClientCommandsTest, ADecisionWithoutItsEvidenceIsNotWritten) {
  auto args = For<DecisionsArgs>();
  args.action = DecisionsArgs::Action::kShow;
  args.sequence = 12;
  args.evidence = dir_.path() / "evidence";
  EXPECT_EQ(RunDecisions(args, out_), kExitUsage);
  EXPECT_FALSE(std::filesystem::exists(args.evidence));
  verifier_.decision.answer.set_evidence("bytes");
  EXPECT_EQ(RunDecisions(args, out_), kExitGood);
  EXPECT_EQ(verifier_.decision.asked.sequence(), 12u);
  EXPECT_EQ(AsText(*ReadFile(args.evidence, 64)), "bytes");
}

}  // namespace
}  // namespace vmattest::cli
