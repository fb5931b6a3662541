#ifndef VMATTEST_TESTS_UNIT_RPC_VERIFIER_FIXTURE_H_
#define VMATTEST_TESTS_UNIT_RPC_VERIFIER_FIXTURE_H_

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "cli/connection.h"
#include "cli/generic_call.h"
#include "fmt/format.h"
#include "gtest/gtest.h"
#include "rpc/status/status_mapping.h"
#include "rpc/verification_parts.h"
#include "support/matchers.h"
#include "support/test_pki.h"
#include "support/verifier_rig.h"
#include "vmattest/v1/baselines.grpc.pb.h"
#include "vmattest/v1/enrollment.grpc.pb.h"
#include "vmattest/v1/verifier.grpc.pb.h"
#include "wire/codec.h"

namespace vmattest::rpc {

inline constexpr char kHostUri[] = "spiffe://t/host-1";
inline constexpr char kOtherHostUri[] = "spiffe://t/host-2";
inline constexpr char kCustomerUri[] = "spiffe://t/customer";
inline constexpr char kOtherCustomerUri[] = "spiffe://t/customer-2";
inline constexpr char kAuditorUri[] = "spiffe://t/auditor";
inline constexpr char kOperatorUri[] = "spiffe://t/operator";
inline constexpr char kReadUri[] = "spiffe://t/reader";
inline constexpr char kAdminUri[] = "spiffe://t/admin";
inline constexpr char kOtherVm[] = "00000000-0000-4000-8000-00000000ffff";

// A verifier on TCP with mutual TLS, and one VM's customer among others.
class VerifierServerTest : public ::testing::Test {
 protected:
  VerifierServerTest() : requests_("request", 2, 64), watch_("watch", 1, 16) {
    static const bool tls13 = (DemandTls13(), true);
    EXPECT_TRUE(tls13);
    const Uuid vm = ParseUuid(builder_.header.vm_uuid).value();
    const Uuid other = ParseUuid(kOtherVm).value();
    const std::vector<ClientGrant> grants = {
        {kHostUri, Role::kHost, false, {}},
        {kOtherHostUri, Role::kHost, false, {}},
        {kCustomerUri, Role::kCustomer, false, {vm}},
        {kOtherCustomerUri, Role::kCustomer, false, {other}},
        {kAuditorUri, Role::kAuditor, false, {vm}},
        {kOperatorUri, Role::kOperator, true, {}},
        {kReadUri, Role::kRead, true, {}},
        {kAdminUri, Role::kAdmin, true, {}}};
    auto server = Server::StartOnTcp("127.0.0.1:0",
                                     {.certificate = files_.certificate,
                                      .private_key = files_.private_key,
                                      .client_ca = pki_.ca()},
                                     grants, VerificationServices(Parts()),
                                     {.max_message_bytes = 8u << 20});
    EXPECT_THAT(server, testing::IsOk());
    server_ = *std::move(server);
  }

  VerificationParts Parts() {
    return {.store = rig_.store,
            .hosts = rig_.hosts,
            .references = rig_.references,
            .orders = rig_.orders,
            .appraiser = rig_.appraiser,
            .baselines = rig_.baselines,
            .comparer = rig_.comparer,
            .result_keys = rig_.keys,
            .log = rig_.log,
            .requests = requests_,
            .watch = watch_,
            .clock = clock_,
            .max_lag = 16};
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
  std::shared_ptr<grpc::Channel> As(const std::string& uri) {
    std::shared_ptr<grpc::Channel>& channel = channels_[uri];
    if (channel == nullptr) {
      channel = Channel(
          pki_.IssueClient("client-" + std::to_string(channels_.size()), uri));
    }
    return channel;
  }
  static std::chrono::system_clock::time_point In(
      std::chrono::milliseconds time) {
    return std::chrono::system_clock::now() + time;
  }
  // An empty request by name; a stream that does not end is left.
  static absl::Status CallEmpty(const std::shared_ptr<grpc::Channel>& channel,
                                const std::string& method) {
    const bool stream = method.find("Watch") != std::string::npos;
    return cli::GenericCall(
        channel, method, "",
        {.deadline = In(std::chrono::milliseconds(stream ? 500 : 20'000))},
        [](const std::string&) { return absl::OkStatus(); });
  }
  template <class Stub, class Request, class Response>
  absl::Status Call(Stub& stub,
                    grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                 const Request&, Response*),
                    const Request& request, Response* response) {
    grpc::ClientContext context;
    context.set_deadline(In(std::chrono::seconds(20)));
    return FromGrpc((stub.*method)(&context, request, response));
  }
  std::unique_ptr<v1::Verifier::Stub> VerifierAs(const std::string& uri) {
    return v1::Verifier::NewStub(As(uri));
  }
  std::unique_ptr<v1::Enrollment::Stub> EnrollmentAs(const std::string& uri) {
    return v1::Enrollment::NewStub(As(uri));
  }
  [[nodiscard]] std::string vm() const { return builder_.header.vm_uuid; }

  testing::TestPki pki_;
  testing::CertificateFiles files_ = pki_.IssueServer();
  SystemClock clock_;
  testing::VerifierRig rig_;
  testing::SoftHost host_;
  testing::EvidenceBuilder builder_{host_};
  ThreadPool requests_;
  ThreadPool watch_;
  std::unique_ptr<Server> server_;
  std::map<std::string, std::shared_ptr<grpc::Channel>> channels_;
};

}  // namespace vmattest::rpc

#endif  // VMATTEST_TESTS_UNIT_RPC_VERIFIER_FIXTURE_H_
