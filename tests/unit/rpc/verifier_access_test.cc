// Who may call what of Enrollment, Verifier and Baselines: every method there
// is, with every credential.
#include <set>

#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "grpcpp/create_channel.h"
#include "rpc/verifier_fixture.h"

namespace vmattest::rpc {
namespace {

using testing::IsOk;
using testing::TestPki;

using Roles = std::set<std::string>;

// Written down a second time, on purpose. A method that is missing here fails
// the tests.
const std::map<std::string, Roles>& Expected() {
  static const Roles kLookers = {kCustomerUri, kAuditorUri, kOperatorUri};
  static const Roles kOwners = {kCustomerUri, kOperatorUri};
  static const Roles kComparers = {kHostUri, kCustomerUri, kOperatorUri};
  static const std::map<std::string, Roles> expected = {
      {"vmattest.v1.Enrollment/BeginEnrollment", {kHostUri}},
      {"vmattest.v1.Enrollment/CompleteEnrollment", {kHostUri}},
      {"vmattest.v1.Enrollment/UpdateKeys", {kHostUri}},
      {"vmattest.v1.Enrollment/ListHosts", {kAuditorUri, kOperatorUri}},
      {"vmattest.v1.Enrollment/GetHost", {kAuditorUri, kOperatorUri}},
      {"vmattest.v1.Enrollment/ApproveHost", {kOperatorUri}},
      {"vmattest.v1.Enrollment/AllowRebind", {kOperatorUri}},
      {"vmattest.v1.Enrollment/RevokeHost", {kOperatorUri}},
      {"vmattest.v1.Verifier/Appraise", {kHostUri, kCustomerUri, kOperatorUri}},
      {"vmattest.v1.Verifier/GetVerificationKeys",
       {kHostUri, kCustomerUri, kAuditorUri, kOperatorUri, kReadUri,
        kAdminUri}},
      {"vmattest.v1.Verifier/ListResultKeys", {kAuditorUri, kOperatorUri}},
      {"vmattest.v1.Verifier/RotateResultKeys", {kOperatorUri}},
      {"vmattest.v1.Verifier/RequestAttestation", kOwners},
      {"vmattest.v1.Verifier/ListDecisions", kLookers},
      {"vmattest.v1.Verifier/GetDecision", kLookers},
      {"vmattest.v1.Verifier/WatchAlerts", kLookers},
      {"vmattest.v1.Verifier/PutReference", kOwners},
      {"vmattest.v1.Verifier/PutBreakGlass", kOwners},
      {"vmattest.v1.Verifier/ListReferences", kLookers},
      {"vmattest.v1.Verifier/GetReference", kLookers},
      {"vmattest.v1.Verifier/LearnReference", kOwners},
      {"vmattest.v1.Verifier/Simulate", kOwners},
      {"vmattest.v1.Verifier/GetHostPolicy", {kHostUri}},
      {"vmattest.v1.Baselines/PutBaseline", kOwners},
      {"vmattest.v1.Baselines/ListBaselines", kLookers},
      {"vmattest.v1.Baselines/GetBaseline", kLookers},
      {"vmattest.v1.Baselines/BeginComparison", kComparers},
      {"vmattest.v1.Baselines/ReadNodes", kComparers},
      {"vmattest.v1.Baselines/ReadRecords", kComparers},
      {"vmattest.v1.Baselines/FinishComparison", kComparers},
  };
  return expected;
}

std::vector<std::string> Methods() {
  std::vector<std::string> methods;
  for (const auto* file : {v1::Host::descriptor()->file(),
                           v1::AppraiseRequest::descriptor()->file(),
                           v1::PutBaselineRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      const auto& service = *file->service(s);
      for (int m = 0; m < service.method_count(); ++m) {
        methods.push_back(service.full_name() + "/" +
                          service.method(m)->name());
      }
    }
  }
  return methods;
}

// Refused for who calls, not for what is asked.
bool RefusedCaller(const absl::Status& status) {
  const std::string reason = ReasonOf(status).reason;
  return absl::IsUnauthenticated(status) || absl::IsUnavailable(status) ||
         reason == "METHOD_DENIED" || reason == "CLIENT_NOT_GRANTED";
}

class VerifierAccess : public VerifierServerTest {};

TEST_F(VerifierAccess, EveryMethodIsListed) {
  const std::vector<std::string> methods = Methods();
  EXPECT_EQ(methods.size(), Expected().size());
  for (const std::string& method : methods) {
    EXPECT_TRUE(Expected().contains(method)) << method;
  }
}

TEST_F(VerifierAccess, CVE_2026_1709_NoMethodAnswersWithoutTheRightCredential) {
  TestPki strangers;
  const std::map<std::string, std::shared_ptr<grpc::Channel>> wrong = {
      {"another authority's",
       Channel(strangers.IssueClient("client", kOperatorUri))},
      {"no grant", As("spiffe://t/nobody")},
      {"no URI", Channel(pki_.Issue("dns", {"DNS:localhost"}))},
      {"expired",
       Channel(pki_.Issue("old", {std::string("URI:") + kOperatorUri},
                          -std::chrono::hours(1)))},
      {"plaintext",
       grpc::CreateChannel(address(), grpc::InsecureChannelCredentials())}};
  for (const auto& [what, channel] : wrong) {
    for (const std::string& method : Methods()) {
      const absl::Status status = CallEmpty(channel, method);
      EXPECT_TRUE(RefusedCaller(status) || absl::IsDeadlineExceeded(status))
          << what << " " << method << " " << status;
      EXPECT_FALSE(status.ok()) << what << " " << method;
    }
  }
  EXPECT_TRUE(rig_.store.ListHosts("", 10)->empty());
  EXPECT_EQ(rig_.store.LastSequence().value(), 0u);
}

TEST_F(VerifierAccess, CVE_2026_1709_EachMethodIsDeniedToEachOtherRole) {
  for (const char* uri : {kHostUri, kCustomerUri, kAuditorUri, kOperatorUri,
                          kReadUri, kAdminUri}) {
    for (const std::string& method : Methods()) {
      const absl::Status status = CallEmpty(As(uri), method);
      EXPECT_EQ(!RefusedCaller(status), Expected().at(method).contains(uri))
          << uri << " " << method << " " << status;
    }
  }
}

TEST_F(VerifierAccess, AdminSocketIsOperatorAndNeverAHost) {
  testing::TempDir dir;
  const auto path = dir.path() / "s.sock";
  auto server = Server::StartOnSocket(Listener::kAdminSocket, path, "",
                                      VerificationServices(Parts()), {});
  ASSERT_THAT(server, IsOk());
  const auto channel = *cli::Connect({.socket = path.string()});
  for (const std::string& method : Methods()) {
    EXPECT_EQ(!RefusedCaller(CallEmpty(channel, method)),
              Expected().at(method).contains(kOperatorUri))
        << method;
  }
}

TEST_F(VerifierAccess, ReadSocketServesNothingOfIt) {
  testing::TempDir dir;
  const auto path = dir.path() / "s.sock";
  auto server = Server::StartOnSocket(Listener::kReadSocket, path, "",
                                      VerificationServices(Parts()), {});
  ASSERT_THAT(server, IsOk());
  const auto channel = *cli::Connect({.socket = path.string()});
  for (const std::string& method : Methods()) {
    EXPECT_TRUE(absl::IsUnimplemented(CallEmpty(channel, method))) << method;
  }
}

}  // namespace
}  // namespace vmattest::rpc
