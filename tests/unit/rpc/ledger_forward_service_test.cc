// Ledger on a host that keeps none: who may call what of it, and what it
// answers as a witness.
#include "rpc/ledger_forward_service.h"

#include <chrono>
#include <map>
#include <set>

#include "cli/connection.h"
#include "cli/generic_call.h"
#include "fakes/fake_log_store.h"
#include "fakes/fake_witness_store.h"
#include "fakes/manual_clock.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "ledger/timed_witness.h"
#include "rpc/client/grpc_witness.h"
#include "rpc/status/status_mapping.h"
#include "support/ledger_rig.h"
#include "support/temp_dir.h"
#include "support/test_pki.h"
#include "support/witness_request.h"

namespace vmattest::rpc {
namespace {

using testing::FakeLogStore;
using testing::FakeWitnessStore;
using testing::IsOk;
using testing::LedgerRig;
using testing::LedgerVm;
using testing::ManualClock;
using testing::NoteOf;
using testing::StatusIs;
using testing::TempDir;
using testing::TestPki;
using testing::WitnessRequestFor;

constexpr Role kRoles[] = {Role::kRead,     Role::kAdmin,   Role::kHost,
                           Role::kCustomer, Role::kAuditor, Role::kOperator};
const std::set<Role> kWitnessCallers = {Role::kHost, Role::kOperator};
constexpr char kAddCheckpoint[] = "vmattest.v1.Ledger/AddCheckpoint";
constexpr char kGetTrust[] = "vmattest.v1.Ledger/GetTrust";

std::vector<std::string> Methods() {
  std::vector<std::string> methods;
  const auto& service =
      *v1::AddCheckpointRequest::descriptor()->file()->FindServiceByName(
          "Ledger");
  for (int m = 0; m < service.method_count(); ++m) {
    methods.push_back(service.full_name() + "/" + service.method(m)->name());
  }
  return methods;
}

std::string UriOf(Role role) {
  return fmt::format("spiffe://t/{}", ToString(role));
}

class LedgerForwardTest : public ::testing::Test {
 protected:
  LedgerForwardTest() {
    static const bool tls13 = (DemandTls13(), true);
    EXPECT_TRUE(tls13);
    EXPECT_TRUE(logs_.Lead("here")->mine);
    log_ = *ledger::Log::Open(logs_, rig_.Policy(), {});
    rig_.Populate(*log_);
    std::vector<std::unique_ptr<tlog::NoteSigner>> signers;
    signers.push_back(*tlog::Ed25519NoteSigner(
        "w.example", tlog::NoteKeyType::kEd25519Cosignature,
        *Ed25519PrivateKey::FromSeed(SecretBytes(Bytes(32, 7)))));
    policy_ = fmt::format("log {}\nwitness w {}\nquorum w\n", signer_->vkey(),
                          signers.back()->vkey());
    witness_ = std::make_unique<ledger::TimedWitness>(
        *tlog::WitnessPolicy::Parse(policy_), std::move(signers), memory_,
        clock_, 60'000);
    parts_.add_checkpoint = [this](const ledger::WitnessRequest& request) {
      return witness_->Add(request);
    };
  }
  void ServeTcp() {
    std::vector<ClientGrant> grants;
    for (const Role role : kRoles) {
      grants.push_back({UriOf(role), role, role != Role::kHost, {}});
    }
    auto server =
        Server::StartOnTcp("127.0.0.1:0",
                           {.certificate = files_.certificate,
                            .private_key = files_.private_key,
                            .client_ca = pki_.ca()},
                           grants, LedgerForwardService::Services(parts_), {});
    ASSERT_THAT(server, IsOk());
    server_ = *std::move(server);
  }
  std::shared_ptr<grpc::Channel> ServeSocket(Listener listener) {
    const auto path = dir_.path() / "s.sock";
    auto server = Server::StartOnSocket(
        listener, path, "", LedgerForwardService::Services(parts_), {});
    EXPECT_THAT(server, IsOk());
    server_ = *std::move(server);
    return *cli::Connect({.socket = path.string()});
  }
  [[nodiscard]] std::string address() const {
    return fmt::format("127.0.0.1:{}", server_->port());
  }
  std::shared_ptr<grpc::Channel> Channel(
      const testing::CertificateFiles& client) {
    return *cli::Connect({.address = address(),
                          .certificate = client.certificate,
                          .private_key = client.private_key,
                          .authority = pki_.ca()});
  }
  std::shared_ptr<grpc::Channel> As(Role role) {
    return Channel(pki_.IssueClient(std::string(ToString(role)), UriOf(role)));
  }
  static absl::Status CallEmpty(const std::shared_ptr<grpc::Channel>& channel,
                                const std::string& method) {
    return cli::GenericCall(
        channel, method, "",
        {.deadline =
             std::chrono::system_clock::now() + std::chrono::seconds(20)},
        [](const std::string&) { return absl::OkStatus(); });
  }
  // As a node asks a witness of its policy.
  absl::StatusOr<tlog::WitnessReply> AddAs(
      Role role, const ledger::WitnessRequest& request) {
    const auto client =
        pki_.IssueClient(std::string(ToString(role)), UriOf(role));
    auto witness = GrpcWitness::Create("w", address(),
                                       {.certificate = client.certificate,
                                        .private_key = client.private_key,
                                        .ca = pki_.ca()});
    EXPECT_THAT(witness, IsOk());
    return (*witness)->Add(request);
  }

  TestPki pki_;
  const TempDir dir_;
  testing::CertificateFiles files_ = pki_.IssueServer();
  LedgerRig rig_;
  ManualClock clock_{LedgerRig::kStart};
  FakeLogStore logs_;
  FakeWitnessStore memory_;
  std::unique_ptr<ledger::Log> log_;
  const std::shared_ptr<tlog::NoteSigner> signer_ = *tlog::EcdsaNoteSigner(
      LedgerRig::kOrigin,
      std::make_shared<const EcPrivateKey>(EcPrivateKey::Generate()));
  std::string policy_;
  std::unique_ptr<ledger::TimedWitness> witness_;
  ThreadPool requests_{"request", 2, 64};
  LedgerForwardService::Parts parts_{
      .requests = requests_,
      .get =
          [](const Uuid& vm) {
            v1::GetTrustResponse trust;
            trust.set_vm_uuid(vmattest::ToString(vm));
            return trust;
          },
      .is_local = [](const Uuid& vm) { return vm == LedgerVm(1); },
      .add_checkpoint = {}};
  std::unique_ptr<Server> server_;
};

TEST_F(LedgerForwardTest, CosignsForAHostAndAnOperatorAndForNobodyElse) {
  ServeTcp();
  const ledger::WitnessRequest request = WitnessRequestFor(*log_, *signer_);
  for (const Role role : kRoles) {
    if (!kWitnessCallers.contains(role)) {
      EXPECT_EQ(AddAs(role, request).status().code(),
                absl::StatusCode::kPermissionDenied)
          << ToString(role);
    }
  }
  EXPECT_EQ(memory_.Find(LedgerRig::kOrigin)->size, 0u);
  const auto reply = AddAs(Role::kHost, request);
  ASSERT_THAT(reply, IsOk());
  ASSERT_EQ(reply->status, 200) << reply->body;
  EXPECT_THAT(tlog::OpenCheckpoint(NoteOf(request) + reply->body,
                                   *tlog::WitnessPolicy::Parse(policy_)),
              IsOk());
  // It has seen more than "old 0".
  EXPECT_EQ(AddAs(Role::kOperator, request)->status, 409);
}

TEST_F(LedgerForwardTest, CVE_2026_1709_EachMethodIsDeniedToEachOtherRole) {
  ServeTcp();
  for (const Role role : kRoles) {
    const auto channel = As(role);
    for (const std::string& method : Methods()) {
      const absl::Status status = CallEmpty(channel, method);
      if (method == kAddCheckpoint) {
        EXPECT_EQ(ReasonOf(status).reason == "METHOD_DENIED",
                  !kWitnessCallers.contains(role))
            << ToString(role) << " " << status;
      } else if (method == kGetTrust) {
        EXPECT_EQ(ReasonOf(status).reason, "FIELD_INVALID") << ToString(role);
      } else {
        EXPECT_TRUE(absl::IsUnimplemented(status)) << method << " " << status;
      }
    }
  }
}

TEST_F(LedgerForwardTest, CVE_2026_1709_NoMethodAnswersWithoutACredential) {
  ServeTcp();
  TestPki strangers;
  const std::map<std::string, std::shared_ptr<grpc::Channel>> wrong = {
      {"another authority's",
       Channel(strangers.IssueClient("client", UriOf(Role::kHost)))},
      {"no grant", Channel(pki_.IssueClient("nobody", "spiffe://t/nobody"))},
      {"no URI", Channel(pki_.Issue("dns", {"DNS:localhost"}))}};
  for (const auto& [what, channel] : wrong) {
    for (const char* method : {kAddCheckpoint, kGetTrust}) {
      const absl::Status status = CallEmpty(channel, method);
      EXPECT_TRUE(absl::IsUnauthenticated(status) ||
                  absl::IsUnavailable(status) ||
                  ReasonOf(status).reason == "CLIENT_NOT_GRANTED")
          << what << " " << status;
    }
  }
}

TEST_F(LedgerForwardTest, TheAdminSocketIsAnOperatorAndTheReadSocketIsNone) {
  EXPECT_THAT(CallEmpty(ServeSocket(Listener::kAdminSocket), kAddCheckpoint),
              IsOk());  // 400 is an answer
  server_.reset();
  const auto read = ServeSocket(Listener::kReadSocket);
  EXPECT_EQ(ReasonOf(CallEmpty(read, kAddCheckpoint)).reason, "METHOD_DENIED");
  EXPECT_EQ(ReasonOf(CallEmpty(read, kGetTrust)).reason, "FIELD_INVALID");
}

TEST_F(LedgerForwardTest, AHostThatIsNoWitnessSaysSo) {
  parts_.add_checkpoint = {};
  ServeTcp();
  const auto reply = AddAs(Role::kHost, WitnessRequestFor(*log_, *signer_));
  EXPECT_THAT(reply.status(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                       ::testing::HasSubstr("ledger.policy")));
  EXPECT_EQ(ReasonOf(CallEmpty(As(Role::kHost), kAddCheckpoint)).reason,
            "NOT_A_WITNESS");
  EXPECT_EQ(ReasonOf(CallEmpty(As(Role::kAuditor), kAddCheckpoint)).reason,
            "METHOD_DENIED");
}

}  // namespace
}  // namespace vmattest::rpc
