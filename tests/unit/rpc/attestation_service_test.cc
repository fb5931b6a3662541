#include "rpc/attestation_service.h"

#include <thread>

#include "rpc/rpc_fixture.h"
#include "wire/codec.h"

namespace vmattest::rpc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;
using Stub = v1::Attestation::Stub;

using AttestationServiceTest = SocketTest;

TEST_F(AttestationServiceTest, AttestsWithTheNonceAndTheVm) {
  Serve();
  v1::AttestConfigRequest request;
  request.set_vm("web");
  request.set_nonce(std::string(32, 'n'));
  v1::AttestConfigResponse response;
  ASSERT_THAT(Call(*attestation_, &Stub::AttestConfig, request, &response),
              IsOk());
  ASSERT_OK_AND_ASSIGN(const evidence::Evidence evidence,
                       wire::ParseEvidence(AsBytes(response.evidence())));
  ASSERT_OK_AND_ASSIGN(const evidence::ConfigStatement statement,
                       wire::ParseConfigStatement(evidence.envelope.payload));
  EXPECT_EQ(statement.header.vm_name, "web");
  EXPECT_EQ(AsText(statement.header.nonce), std::string(32, 'n'));
}

TEST_F(AttestationServiceTest, MeasuresWithTheAlgorithmAskedFor) {
  Serve();
  v1::MeasureConfigRequest request;
  request.set_vm(ToString(inside_->db));
  request.set_algorithm(v1::HASH_ALGORITHM_SHA512);
  v1::MeasureConfigResponse response;
  ASSERT_THAT(Call(*attestation_, &Stub::MeasureConfig, request, &response),
              IsOk());
  EXPECT_EQ(response.vm_name(), "db");
  EXPECT_EQ(response.algorithm(), v1::HASH_ALGORITHM_SHA512);
  EXPECT_EQ(response.root().size(), 64u);
  EXPECT_EQ(response.leaves(0).type(), "header");
}

TEST_F(AttestationServiceTest, GivesTheHostIdentityThatCanBePinned) {
  Serve();
  v1::GetHostIdentityResponse response;
  // The sealer opens the TPM on its own thread.
  absl::Status status;
  do {
    status = Call(*attestation_, &Stub::GetHostIdentity,
                  v1::GetHostIdentityRequest(), &response);
  } while (absl::IsUnavailable(status));
  ASSERT_THAT(status, IsOk());
  EXPECT_THAT(
      wire::ParseHostIdentity(AsBytes(response.identity().SerializeAsString())),
      IsOk());
}

TEST_F(AttestationServiceTest, PagesThroughAllVmsOnce) {
  Serve();
  for (int i = 0; i < 5; ++i) {
    inside_->Define("vm" + std::to_string(i));
  }
  std::vector<std::string> names;
  v1::ListVmsRequest request;
  request.set_page_size(2);
  do {
    v1::ListVmsResponse page;
    ASSERT_THAT(Call(*attestation_, &Stub::ListVms, request, &page), IsOk());
    EXPECT_LE(page.vms_size(), 2);
    for (const v1::Vm& vm : page.vms()) {
      names.push_back(vm.name());
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("web", "db", "vm0", "vm1",
                                                     "vm2", "vm3", "vm4"));
}

TEST_F(AttestationServiceTest, S19_ListsVmsBesideLibvirtOnTheLastPage) {
  Serve();
  inside_->unmanaged = {{.id = {.pid = 42, .start_ticks = 7},
                         .uid = 1000,
                         .accelerator = kvm::Accelerator::kTcg,
                         .command = "qemu-system-x86_64",
                         .seen_unix_ms = 5}};
  v1::ListVmsRequest request;
  request.set_page_size(1);
  v1::ListVmsResponse first;
  ASSERT_THAT(Call(*attestation_, &Stub::ListVms, request, &first), IsOk());
  EXPECT_EQ(first.unmanaged_size(), 0);
  request.set_page_size(10);
  v1::ListVmsResponse last;
  ASSERT_THAT(Call(*attestation_, &Stub::ListVms, request, &last), IsOk());
  ASSERT_EQ(last.unmanaged_size(), 1);
  EXPECT_EQ(last.unmanaged(0).pid(), 42u);
  EXPECT_EQ(last.unmanaged(0).start_ticks(), 7u);
  EXPECT_EQ(last.unmanaged(0).uid(), 1000u);
  EXPECT_EQ(last.unmanaged(0).accelerator(), "tcg");
  EXPECT_EQ(last.unmanaged(0).command(), "qemu-system-x86_64");
  EXPECT_EQ(last.unmanaged(0).seen_unix_ms(), 5);
}

TEST_F(AttestationServiceTest, UnknownVmIsNotFoundWithItsName) {
  Serve();
  v1::GetVmRequest request;
  request.set_vm("nope");
  v1::GetVmResponse response;
  const absl::Status status =
      Call(*attestation_, &Stub::GetVm, request, &response);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(ReasonOf(status), (ErrorInfo{"VM_NOT_FOUND", {{"vm", "nope"}}}));
}

struct BadRequest {
  std::string field;
  std::function<void(v1::AttestConfigRequest&)> change;
};

TEST_F(AttestationServiceTest, NamesTheFieldThatIsWrong) {
  Serve();
  const std::vector<BadRequest> bad = {
      {"vm", [](auto& r) { r.clear_vm(); }},
      {"vm", [](auto& r) { r.set_vm(std::string(257, 'x')); }},
      {"nonce", [](auto& r) { r.set_nonce(std::string(15, 'x')); }},
      {"nonce", [](auto& r) { r.set_nonce(std::string(65, 'x')); }},
      {"algorithm",
       [](auto& r) { r.set_algorithm(static_cast<v1::HashAlgorithm>(6)); }},
      {"algorithm",
       [](auto& r) { r.set_algorithm(static_cast<v1::HashAlgorithm>(-1)); }},
      {"content",
       [](auto& r) { r.set_content(static_cast<v1::ContentPolicy>(4)); }}};
  for (const BadRequest& one : bad) {
    v1::AttestConfigRequest request;
    request.set_vm("web");
    one.change(request);
    v1::AttestConfigResponse response;
    const absl::Status status =
        Call(*attestation_, &Stub::AttestConfig, request, &response);
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument,
                                 HasSubstr(one.field)));
    EXPECT_EQ(ReasonOf(status),
              (ErrorInfo{"FIELD_INVALID", {{"field", one.field}}}));
  }
}

TEST_F(AttestationServiceTest, RefusesPagesItNeverGave) {
  Serve();
  for (const auto& [size, token] : std::vector<std::pair<int, std::string>>{
           {-1, ""}, {1001, ""}, {1, "x"}, {1, std::string(1000, '0')}}) {
    v1::ListVmsRequest request;
    request.set_page_size(size);
    request.set_page_token(token);
    v1::ListVmsResponse response;
    EXPECT_THAT(Call(*attestation_, &Stub::ListVms, request, &response),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_F(AttestationServiceTest, OverloadIsAnAnswer) {
  Serve(Listener::kAdminSocket, {.request_threads = 1, .queued_requests = 2});
  inside_->gate.Close();
  std::thread blocked([this] {
    v1::MeasureConfigRequest request;
    request.set_vm("web");
    v1::MeasureConfigResponse response;
    EXPECT_THAT(Call(*attestation_, &Stub::MeasureConfig, request, &response),
                IsOk());
  });
  inside_->gate.AwaitWaiting(1);
  // Two are queued behind it, the others are told at once.
  constexpr int kCalls = 8;
  std::atomic<int> refused = 0;
  std::atomic<int> served = 0;
  std::vector<std::thread> callers;
  for (int i = 0; i < kCalls; ++i) {
    callers.emplace_back([&] {
      v1::ListVmsResponse response;
      const absl::Status status =
          Call(*attestation_, &Stub::ListVms, v1::ListVmsRequest(), &response);
      if (absl::IsResourceExhausted(status)) {
        EXPECT_EQ(ReasonOf(status).reason, "OVERLOADED");
        if (++refused == kCalls - 2) {
          inside_->gate.Open();
        }
      } else {
        EXPECT_THAT(status, IsOk());
        ++served;
      }
    });
  }
  for (std::thread& caller : callers) {
    caller.join();
  }
  blocked.join();
  EXPECT_EQ(refused, kCalls - 2);
  EXPECT_EQ(served, 2);
}

TEST_F(AttestationServiceTest, ClientThatLeavesIsAnsweredAndReleased) {
  Serve(Listener::kAdminSocket, {.request_threads = 1});
  inside_->gate.Close();
  v1::AttestConfigRequest request;
  request.set_vm("web");
  v1::AttestConfigResponse response;
  EXPECT_THAT(Call(*attestation_, &Stub::AttestConfig, request, &response,
                   std::chrono::milliseconds(200)),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  inside_->gate.AwaitWaiting(1);
  // The call is over while its work still stands at the gate: a server that
  // shuts down with a deadline far away has nothing to wait for.
  const auto before = std::chrono::steady_clock::now();
  server_->Shutdown(In(std::chrono::minutes(5)));
  EXPECT_LT(std::chrono::steady_clock::now() - before,
            std::chrono::seconds(30));
  inside_->gate.Open();
  EXPECT_EQ(inside_->tpm.quotes_made(), 0);
}

TEST_F(AttestationServiceTest, OversizedMessageIsRefused) {
  Serve(Listener::kAdminSocket, {}, {.max_message_bytes = 4096});
  v1::GetVmRequest request;
  request.set_vm(std::string(8192, 'x'));
  v1::GetVmResponse response;
  EXPECT_THAT(Call(*attestation_, &Stub::GetVm, request, &response),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(AttestationServiceTest, AdminActionsAnswer) {
  Serve();
  v1::ReconcileResponse reconciled;
  ASSERT_THAT(Call(*admin_, &v1::Admin::Stub::Reconcile, v1::ReconcileRequest(),
                   &reconciled),
              IsOk());
  EXPECT_EQ(reconciled.measured(), 3u);
  v1::FlushDigestCacheResponse flushed;
  ASSERT_THAT(Call(*admin_, &v1::Admin::Stub::FlushDigestCache,
                   v1::FlushDigestCacheRequest(), &flushed),
              IsOk());
  EXPECT_EQ(flushed.dropped(), 7u);
  v1::SetLogLevelRequest level;
  level.set_level("loud");
  v1::SetLogLevelResponse set;
  const absl::Status refused =
      Call(*admin_, &v1::Admin::Stub::SetLogLevel, level, &set);
  EXPECT_EQ(ReasonOf(refused),
            (ErrorInfo{"FIELD_INVALID", {{"field", "level"}}}));
}

}  // namespace
}  // namespace vmattest::rpc
