#include "rpc/server.h"

#include <sys/stat.h>

#include "cli/generic_call.h"
#include "cli/reflection_client.h"
#include "fmt/format.h"
#include "google/protobuf/descriptor.h"
#include "grpc/health/v1/health.pb.h"
#include "grpcpp/create_channel.h"
#include "rpc/rpc_fixture.h"
#include "support/run_command.h"
#include "support/test_pki.h"

namespace vmattest::rpc {
namespace {

using ::testing::AnyOf;
using testing::CertificateFiles;
using ::testing::Contains;
using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::Not;
using testing::RunCommand;
using testing::StatusIs;
using testing::TestPki;
using Health = grpc::health::v1::HealthCheckResponse;

// Before gRPC reads it.
const bool kTls13 = (DemandTls13(), true);

constexpr auto kDenied = absl::StatusCode::kPermissionDenied;
constexpr char kReader[] = "spiffe://t/reader";
constexpr char kOperator[] = "spiffe://t/operator";
constexpr char kTenant[] = "spiffe://t/tenant";

std::vector<const google::protobuf::MethodDescriptor*> OurMethods() {
  std::vector<const google::protobuf::MethodDescriptor*> methods;
  for (const auto* file : {v1::ListVmsRequest::descriptor()->file(),
                           v1::GetStatusRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        methods.push_back(file->service(s)->method(m));
      }
    }
  }
  return methods;
}

std::string PathOf(const google::protobuf::MethodDescriptor& method) {
  return method.service()->full_name() + "/" + method.name();
}

// An empty request; a stream that does not end is left after a moment.
absl::Status CallEmpty(const std::shared_ptr<grpc::Channel>& channel,
                       const std::string& method,
                       const std::string& request = "") {
  return cli::GenericCall(
      channel, method, request,
      {.deadline = In(std::chrono::milliseconds(
           method.find("Watch") != std::string::npos ? 300 : 20'000))},
      [](const std::string&) { return absl::OkStatus(); });
}

bool Refused(const absl::Status& status) {
  return absl::IsPermissionDenied(status) || absl::IsUnauthenticated(status) ||
         absl::IsUnimplemented(status) || absl::IsUnavailable(status);
}

absl::StatusOr<Health::ServingStatus> CheckHealth(
    const std::shared_ptr<grpc::Channel>& channel, const std::string& service) {
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(service);
  Health response;
  RETURN_IF_ERROR(cli::GenericCall(channel, "grpc.health.v1.Health/Check",
                                   request.SerializeAsString(),
                                   {.deadline = In(std::chrono::seconds(20))},
                                   [&](const std::string& bytes) {
                                     response.ParseFromString(bytes);
                                     return absl::OkStatus();
                                   }));
  return response.status();
}

using UnixServerTest = SocketTest;

TEST_F(UnixServerTest, AdminSocketServesEveryMethod) {
  Serve(Listener::kAdminSocket);
  for (const auto* method : OurMethods()) {
    const absl::Status status = CallEmpty(channel_, PathOf(*method));
    EXPECT_FALSE(absl::IsPermissionDenied(status) ||
                 absl::IsUnimplemented(status))
        << PathOf(*method) << " " << status;
  }
}

TEST_F(UnixServerTest, ReadSocketDoesNotKnowAdmin) {
  Serve(Listener::kReadSocket);
  for (const auto* method : OurMethods()) {
    const absl::Status status = CallEmpty(channel_, PathOf(*method));
    EXPECT_EQ(absl::IsUnimplemented(status),
              method->service()->name() == "Admin")
        << PathOf(*method) << " " << status;
  }
}

TEST_F(UnixServerTest, SocketsHaveTheirModes) {
  struct stat info {};
  Serve(Listener::kAdminSocket);
  ASSERT_EQ(stat(socket().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  TearDown();
  Serve(Listener::kReadSocket);
  ASSERT_EQ(stat(socket().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0660u);
}

TEST_F(UnixServerTest, LiveSocketIsNotTakenOver) {
  Serve();
  Inside other;
  EXPECT_THAT(
      Server::StartOnSocket(Listener::kAdminSocket, socket(), "",
                            other.Services(), {}),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("listens")));
  EXPECT_THAT(CallEmpty(channel_, "vmattest.v1.Admin/GetStatus"), IsOk());
}

TEST_F(UnixServerTest, SocketOfADeadProcessIsReplaced) {
  ASSERT_THAT(
      RunCommand({"python3", "-c",
                  fmt::format("import socket; "
                              "socket.socket(socket.AF_UNIX).bind('{}')",
                              socket().string())}),
      IsOk());
  Serve();
  EXPECT_THAT(CallEmpty(channel_, "vmattest.v1.Admin/GetStatus"), IsOk());
}

TEST_F(UnixServerTest, FileThatIsNoSocketIsLeftAlone) {
  dir_.Write("s.sock", "precious");
  Inside inside;
  EXPECT_THAT(
      Server::StartOnSocket(Listener::kAdminSocket, socket(), "",
                            inside.Services(), {}),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no socket")));
  EXPECT_TRUE(std::filesystem::is_regular_file(socket()));
}

TEST_F(UnixServerTest, UnknownGroupIsAnError) {
  Inside inside;
  EXPECT_THAT(
      Server::StartOnSocket(Listener::kReadSocket, socket(), "no-such-group",
                            inside.Services(), {}),
      StatusIs(absl::StatusCode::kNotFound, HasSubstr("no-such-group")));
}

TEST_F(UnixServerTest, ReflectionTellsTheServices) {
  Serve();
  cli::ReflectionClient reflection(channel_,
                                   {.deadline = In(std::chrono::seconds(20))});
  ASSERT_OK_AND_ASSIGN(const auto services, reflection.ListServices());
  for (const char* service :
       {"vmattest.v1.Attestation", "vmattest.v1.Admin", "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection"}) {
    EXPECT_THAT(services, Contains(service));
    EXPECT_THAT(reflection.Describe(service), IsOk()) << service;
  }
  EXPECT_THAT(reflection.FindMethod("vmattest.v1.Attestation/Nope"),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(UnixServerTest, ReflectionCanBeTurnedOff) {
  Serve(Listener::kAdminSocket, {}, {.reflection = false});
  cli::ReflectionClient reflection(channel_,
                                   {.deadline = In(std::chrono::seconds(20))});
  EXPECT_THAT(reflection.ListServices(),
              StatusIs(absl::StatusCode::kUnimplemented));
}

TEST_F(UnixServerTest, HealthFollowsWhatAServiceNeeds) {
  Serve();
  const std::string attestation = "vmattest.v1.Attestation";
  const SystemClock clock;
  ops::Health health(clock);
  const auto expect = [&](Health::ServingStatus status) {
    server_->Follow(health);
    EXPECT_THAT(*CheckHealth(channel_, attestation), status);
    EXPECT_THAT(*CheckHealth(channel_, ""), status);
    EXPECT_THAT(*CheckHealth(channel_, "vmattest.v1.Admin"), Health::SERVING);
  };
  expect(Health::NOT_SERVING);
  for (const std::string_view component : kAttestationNeeds) {
    expect(Health::NOT_SERVING);
    health.Set(component, absl::OkStatus());
  }
  expect(Health::SERVING);
  health.Set("tpm", absl::UnavailableError("gone"));
  expect(Health::NOT_SERVING);
  health.Set("tpm", absl::OkStatus());
  expect(Health::SERVING);
  EXPECT_THAT(CheckHealth(channel_, "no.such.Service"),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(UnixServerTest, HealthWatchTellsChanges) {
  Serve();
  const SystemClock clock;
  ops::Health health(clock);
  grpc::health::v1::HealthCheckRequest request;
  request.set_service("vmattest.v1.Attestation");
  std::vector<Health::ServingStatus> seen;
  const absl::Status end = cli::GenericCall(
      channel_, "grpc.health.v1.Health/Watch", request.SerializeAsString(),
      {.deadline = In(std::chrono::seconds(20))},
      [&](const std::string& bytes) {
        Health response;
        response.ParseFromString(bytes);
        seen.push_back(response.status());
        for (const std::string_view component : kAttestationNeeds) {
          health.Set(component, absl::OkStatus());
        }
        server_->Follow(health);
        return seen.size() < 2 ? absl::OkStatus() : absl::AbortedError("done");
      });
  EXPECT_THAT(end, StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(seen,
              ::testing::ElementsAre(Health::NOT_SERVING, Health::SERVING));
}

class TlsServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(kTls13);
    const std::vector<ClientGrant> grants = {
        {kReader, Role::kRead, true, {}},
        {kOperator, Role::kAdmin, true, {}},
        {kTenant, Role::kRead, false, {inside_.web}}};
    auto server = Server::StartOnTcp("127.0.0.1:0",
                                     {.certificate = files_.certificate,
                                      .private_key = files_.private_key,
                                      .client_ca = pki_.ca()},
                                     grants, inside_.Services(), {});
    ASSERT_THAT(server, IsOk());
    server_ = *std::move(server);
  }

  [[nodiscard]] std::string address() const {
    return fmt::format("127.0.0.1:{}", server_->port());
  }
  std::shared_ptr<grpc::Channel> Channel(const CertificateFiles& client) {
    return *cli::Connect({.address = address(),
                          .certificate = client.certificate,
                          .private_key = client.private_key,
                          .authority = pki_.ca()});
  }
  std::shared_ptr<grpc::Channel> As(const std::string& uri) {
    return Channel(pki_.IssueClient("client", uri));
  }
  // s_client against the server, and the PEM certificate it shows.
  absl::StatusOr<std::string> OpenSsl(const std::string& options,
                                      const std::string& then) {
    const CertificateFiles client = pki_.IssueClient("ssl", kReader);
    return RunCommand(
        {"bash", "-c",
         fmt::format("set -o pipefail; openssl s_client -connect {} -CAfile {} "
                     "-cert {} -key {} {} </dev/null 2>/dev/null | {}",
                     address(), pki_.ca().string(), client.certificate.string(),
                     client.private_key.string(), options, then)});
  }

  TestPki pki_;
  CertificateFiles files_ = pki_.IssueServer();
  Inside inside_;
  std::unique_ptr<Server> server_;
};

TEST_F(TlsServerTest, EveryMethodIsDeniedWithoutTheRightCertificate) {
  TestPki strangers;
  const std::map<std::string, std::shared_ptr<grpc::Channel>> wrong = {
      {"another authority's",
       Channel(strangers.IssueClient("client", kOperator))},
      {"no grant", As("spiffe://t/nobody")},
      {"no URI", Channel(pki_.Issue("dns", {"DNS:localhost"}))},
      {"nothing", Channel(pki_.Issue("none", {}))},
      {"expired", Channel(pki_.Issue("old", {fmt::format("URI:{}", kOperator)},
                                     -std::chrono::hours(1)))},
      {"plaintext",
       grpc::CreateChannel(address(), grpc::InsecureChannelCredentials())}};
  std::vector<std::string> methods = {
      "grpc.health.v1.Health/Check",
      "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"};
  for (const auto* method : OurMethods()) {
    methods.push_back(PathOf(*method));
  }
  for (const auto& [what, channel] : wrong) {
    for (const std::string& method : methods) {
      const absl::Status status = CallEmpty(channel, method);
      EXPECT_TRUE(Refused(status) || absl::IsDeadlineExceeded(status))
          << what << " " << method << " " << status;
      EXPECT_FALSE(absl::IsUnimplemented(status)) << what << " " << method;
    }
  }
}

TEST_F(TlsServerTest, RolesAreKeptOnEveryMethod) {
  const auto reader = As(kReader);
  const auto admin = As(kOperator);
  for (const auto* method : OurMethods()) {
    const absl::Status read = CallEmpty(reader, PathOf(*method));
    EXPECT_EQ(absl::IsPermissionDenied(read),
              method->service()->name() == "Admin")
        << PathOf(*method) << " " << read;
    const absl::Status all = CallEmpty(admin, PathOf(*method));
    EXPECT_FALSE(absl::IsPermissionDenied(all) ||
                 absl::IsUnauthenticated(all) || absl::IsUnimplemented(all))
        << PathOf(*method) << " " << all;
  }
}

TEST_F(TlsServerTest, DenialsHaveReasons) {
  const std::string list = "vmattest.v1.Attestation/ListVms";
  EXPECT_EQ(
      ReasonOf(CallEmpty(As("spiffe://t/nobody"), list)),
      (ErrorInfo{"CLIENT_NOT_GRANTED", {{"identity", "spiffe://t/nobody"}}}));
  EXPECT_EQ(
      ReasonOf(CallEmpty(Channel(pki_.Issue("dns", {"DNS:localhost"})), list))
          .reason,
      "CLIENT_UNKNOWN");
  EXPECT_EQ(
      ReasonOf(CallEmpty(As(kReader), "vmattest.v1.Admin/Reconcile")).reason,
      "METHOD_DENIED");
  EXPECT_THAT(CallEmpty(As("spiffe://t/nobody"), "grpc.health.v1.Health/Check"),
              StatusIs(kDenied));
}

TEST_F(TlsServerTest, TenantSeesItsVmsOnly) {
  inside_.unmanaged.resize(1);
  const auto stub = v1::Attestation::NewStub(As(kTenant));
  const auto deadline = In(std::chrono::seconds(20));
  const auto get = [&](const std::string& vm) {
    grpc::ClientContext context;
    context.set_deadline(deadline);
    v1::GetVmRequest request;
    request.set_vm(vm);
    v1::GetVmResponse response;
    return FromGrpc(stub->GetVm(&context, request, &response));
  };
  const auto attest = [&](const std::string& vm) {
    grpc::ClientContext context;
    context.set_deadline(deadline);
    v1::AttestConfigRequest request;
    request.set_vm(vm);
    v1::AttestConfigResponse response;
    return FromGrpc(stub->AttestConfig(&context, request, &response));
  };
  const auto measure = [&](const std::string& vm) {
    grpc::ClientContext context;
    context.set_deadline(deadline);
    v1::MeasureConfigRequest request;
    request.set_vm(vm);
    v1::MeasureConfigResponse response;
    return FromGrpc(stub->MeasureConfig(&context, request, &response));
  };
  for (const std::string& mine : {std::string("web"), ToString(inside_.web)}) {
    EXPECT_THAT(get(mine), IsOk());
    EXPECT_THAT(attest(mine), IsOk());
    EXPECT_THAT(measure(mine), IsOk());
  }
  // What it may ask about is not what an administrator may see.
  const auto disclose = [&](const std::string& vm) {
    grpc::ClientContext context;
    context.set_deadline(deadline);
    v1::DiscloseLeafRequest request;
    request.set_vm(vm);
    request.add_paths("name");
    v1::DiscloseLeafResponse response;
    return FromGrpc(stub->DiscloseLeaf(&context, request, &response));
  };
  EXPECT_THAT(disclose("web"), IsOk());
  inside_.salted = inside_.web;
  EXPECT_THAT(disclose("web"), StatusIs(kDenied, HasSubstr("salted")));
  {
    grpc::ClientContext context;
    context.set_deadline(deadline);
    const auto log = stub->GetEventLog(&context, v1::GetEventLogRequest());
    v1::GetEventLogResponse piece;
    EXPECT_FALSE(log->Read(&piece));
    EXPECT_THAT(FromGrpc(log->Finish()), StatusIs(kDenied));
  }
  // A VM of others and one that is not there look the same.
  for (const std::string& other :
       {std::string("db"), ToString(inside_.db), std::string("nope")}) {
    for (const absl::Status& status :
         {get(other), attest(other), measure(other), disclose(other)}) {
      EXPECT_THAT(status, StatusIs(kDenied));
      EXPECT_EQ(ReasonOf(status), (ErrorInfo{"VM_DENIED", {{"vm", other}}}));
    }
  }
  grpc::ClientContext context;
  context.set_deadline(deadline);
  v1::ListVmsResponse list;
  ASSERT_TRUE(stub->ListVms(&context, v1::ListVmsRequest(), &list).ok());
  ASSERT_EQ(list.vms_size(), 1);
  EXPECT_EQ(list.vms(0).name(), "web");
  EXPECT_EQ(list.unmanaged_size(), 0);

  grpc::ClientContext watching;
  watching.set_deadline(deadline);
  const auto reader = stub->WatchEvents(&watching, v1::WatchEventsRequest());
  reader->WaitForInitialMetadata();
  inside_.Happen(inside_.db, "db");
  inside_.Happen(inside_.web, "web");
  v1::WatchEventsResponse event;
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.vm_name(), "web");
  watching.TryCancel();
}

TEST_F(TlsServerTest, OnlyTls13IsSpoken) {
  EXPECT_THAT(OpenSsl("-tls1_3 -alpn h2", "grep -q 'New, TLSv1.3'"), IsOk());
  for (const char* version : {"-tls1_2", "-tls1_1", "-tls1"}) {
    EXPECT_THAT(
        OpenSsl(fmt::format("{} -alpn h2 -cipher ALL:@SECLEVEL=0", version),
                "grep -E 'Cipher is [A-Z0-9]*[-_][A-Z0-9]'"),
        Not(IsOk()))
        << version;
  }
}

TEST_F(TlsServerTest, NewCertificateIsServedWithoutARestart) {
  const char* serial = "openssl x509 -noout -serial";
  ASSERT_OK_AND_ASSIGN(const std::string before,
                       OpenSsl("-tls1_3 -alpn h2", serial));
  pki_.IssueServer();
  const auto deadline = In(std::chrono::seconds(30));
  absl::StatusOr<std::string> now = before;
  while (std::chrono::system_clock::now() < deadline &&
         (!now.ok() || *now == before)) {
    now = OpenSsl("-tls1_3 -alpn h2", serial);
  }
  ASSERT_THAT(now, IsOk());
  EXPECT_NE(*now, before);
  EXPECT_THAT(CallEmpty(As(kReader), "vmattest.v1.Attestation/ListVms"),
              IsOk());
}

TEST(TlsFilesTest, UnusableFilesAreNamed) {
  TestPki pki;
  const CertificateFiles good = pki.IssueServer();
  const CertificateFiles other = pki.Issue("other", {"DNS:localhost"});
  const CertificateFiles old =
      pki.Issue("old", {"DNS:localhost"}, -std::chrono::hours(1));
  testing::TempDir dir;
  const auto empty = dir.Write("empty.pem", "");
  EXPECT_THAT(CheckTlsFiles({good.certificate, good.private_key, pki.ca()}),
              IsOk());
  EXPECT_THAT(CheckTlsFiles({good.certificate, other.private_key, pki.ca()}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("other.key: does not belong")));
  EXPECT_THAT(CheckTlsFiles({old.certificate, old.private_key, pki.ca()}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("old.pem: has expired")));
  EXPECT_THAT(CheckTlsFiles({empty, good.private_key, pki.ca()}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("empty.pem: holds no PEM certificate")));
  EXPECT_THAT(CheckTlsFiles({good.certificate, good.private_key, empty}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(
      CheckTlsFiles({good.certificate, dir.path() / "none.key", pki.ca()}),
      StatusIs(absl::StatusCode::kNotFound, HasSubstr("none.key")));
}

}  // namespace
}  // namespace vmattest::rpc
