// The gate's and the host's way to a verifier, over TLS.
#include "rpc/client/grpc_launch_verifier.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "base/handles.h"
#include "gmock/gmock.h"
#include "rpc/client/tls_channel.h"
#include "rpc/verifier_fixture.h"
#include "support/break_glass.h"

namespace vmattest::rpc {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::StatusIs;

constexpr auto kUnavailable = absl::StatusCode::kUnavailable;

// Takes connections, as its kernel does, and never says a word.
class SilentListener {
 public:
  SilentListener() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(socket_.get(), any, size), 0);
    EXPECT_EQ(listen(socket_.get(), 8), 0);
    EXPECT_EQ(getsockname(socket_.get(), any, &size), 0);
    port_ = ntohs(address.sin_port);
  }
  [[nodiscard]] std::string address() const {
    return fmt::format("127.0.0.1:{}", port_);
  }

 private:
  const UniqueFd socket_{socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  uint16_t port_ = 0;
};

class GrpcLaunchVerifierTest : public VerifierServerTest {
 protected:
  ClientTls Tls(const std::string& server_name = "") {
    const testing::CertificateFiles client =
        pki_.IssueClient("gate-host", kHostUri);
    return {.certificate = client.certificate,
            .private_key = client.private_key,
            .ca = pki_.ca(),
            .server_name = server_name};
  }
  GrpcLaunchVerifier Verifier(const std::string& server_name = "") {
    return GrpcLaunchVerifier(*TlsChannel(address(), Tls(server_name)));
  }
  MonotonicTime In(std::chrono::milliseconds time) const {
    return clock_.Monotonic() + time;
  }
  absl::StatusOr<gate::LaunchVerifier::HostPolicy> Policy(
      const std::vector<std::string>& vms = {}) {
    return Verifier().GetHostPolicy(vms, In(std::chrono::seconds(20)));
  }
  void Enroll() { ASSERT_THAT(rig_.Enroll(kHostUri, host_), IsOk()); }
  Bytes Put(std::vector<std::string> hosts) {
    reference::Reference reference = rig_.Learned(builder_, "web");
    reference.host_ids = std::move(hosts);
    const Bytes document = rig_.Sign(reference);
    EXPECT_THAT(
        rig_.references.PutDocument(document, testing::VerifierRig::AllVms),
        IsOk());
    return document;
  }
};

TEST_F(GrpcLaunchVerifierTest, AppraisesOverTls) {
  Enroll();
  Put({});
  const Bytes evidence = builder_.BuildFile();
  ASSERT_OK_AND_ASSIGN(const std::string ear,
                       Verifier("localhost")
                           .Appraise({.evidence = evidence,
                                      .nonce = builder_.header.nonce,
                                      .vm_uuid = vm()},
                                     In(std::chrono::seconds(20))));
  const auto keys = rig_.keys.Published();
  EXPECT_TRUE(
      token::VerifyEar(ear, keys, {.now = rig_.clock.Now()}).verdict.trusted());
}

TEST_F(GrpcLaunchVerifierTest, AVerifierOfAnotherNameOrAuthorityIsNotAsked) {
  Enroll();
  EXPECT_THAT(Verifier("verifier.example")
                  .GetHostPolicy({}, In(std::chrono::seconds(5))),
              StatusIs(kUnavailable));
  const testing::TestPki strangers;
  ClientTls tls = Tls();
  tls.ca = strangers.ca();
  EXPECT_THAT(GrpcLaunchVerifier(*TlsChannel(address(), tls))
                  .GetHostPolicy({}, In(std::chrono::seconds(5))),
              StatusIs(kUnavailable));
}

TEST_F(GrpcLaunchVerifierTest, AVerifierThatSaysNothingIsUnavailable) {
  const SilentListener silent;
  GrpcLaunchVerifier verifier(*TlsChannel(silent.address(), Tls()));
  EXPECT_THAT(verifier.Appraise({.evidence = {}, .nonce = {}, .vm_uuid = vm()},
                                In(std::chrono::milliseconds(800))),
              StatusIs(kUnavailable));
}

TEST_F(GrpcLaunchVerifierTest, AHostGetsReferencesOfVmsThatItMayRunAndOrders) {
  Enroll();
  const Bytes document = Put({host_.host_id()});
  const Bytes order = testing::SignedOrder(rig_.approver, rig_.clock.Now(),
                                           vm(), host_.host_id(), 'a', 60'000);
  ASSERT_THAT(rig_.orders.PutDocument(order, testing::VerifierRig::AllVms),
              IsOk());
  ASSERT_OK_AND_ASSIGN(const auto nothing, Policy());
  EXPECT_THAT(nothing.references, IsEmpty());
  EXPECT_THAT(nothing.break_glass, ElementsAre(order));
  ASSERT_OK_AND_ASSIGN(const auto asked, Policy({vm(), kOtherVm}));
  EXPECT_THAT(asked.references, ElementsAre(document));
  EXPECT_FALSE(asked.revoked);
}

TEST_F(GrpcLaunchVerifierTest, AReferenceForOtherHostsIsNotHandedOut) {
  Enroll();
  Put({std::string(64, 'b')});
  ASSERT_OK_AND_ASSIGN(const auto policy, Policy({vm()}));
  EXPECT_THAT(policy.references, IsEmpty());
}

TEST_F(GrpcLaunchVerifierTest, VmsThatAreAskedAboutAreChecked) {
  Enroll();
  EXPECT_THAT(Policy({"../x"}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Policy(std::vector<std::string>(4097, vm())),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(GrpcLaunchVerifierTest, S16_ARevokedHostLearnsTheEpochAndNothingElse) {
  Enroll();
  Put({});
  ASSERT_THAT(rig_.hosts.Revoke(host_.host_id(), "sold"), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto policy, Policy({vm()}));
  EXPECT_TRUE(policy.revoked);
  EXPECT_EQ(policy.revocation_epoch, 1U);
  EXPECT_THAT(policy.references, IsEmpty());
  EXPECT_THAT(policy.break_glass, IsEmpty());
  EXPECT_THAT(Verifier().Appraise({.evidence = builder_.BuildFile(),
                                   .nonce = builder_.header.nonce,
                                   .vm_uuid = vm()},
                                  In(std::chrono::seconds(20))),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace vmattest::rpc
