#include "rpc/event_log_stream.h"

#include "cli/attestation_client.h"
#include "eventlog/bundle.h"
#include "rpc/rpc_fixture.h"
#include "vmattest/verifier/event_log.h"
#include "wire/codec.h"

namespace vmattest::rpc {
namespace {

using testing::IsOk;
using testing::StatusIs;

class EventLogStreamTest : public SocketTest {
 protected:
  struct Answer {
    std::vector<v1::GetEventLogResponse> pieces;
    absl::Status status;
  };
  Answer Get(const std::string& nonce) {
    grpc::ClientContext context;
    context.set_deadline(In(std::chrono::seconds(20)));
    v1::GetEventLogRequest request;
    request.set_nonce(nonce);
    const auto reader = attestation_->GetEventLog(&context, request);
    Answer answer;
    v1::GetEventLogResponse piece;
    while (reader->Read(&piece)) {
      answer.pieces.push_back(piece);
    }
    answer.status = FromGrpc(reader->Finish());
    return answer;
  }
  // The firmware's log of a host that has a large one.
  std::string WriteBootLog(size_t size) {
    std::string log(size, '\0');
    for (size_t i = 0; i < size; ++i) {
      log[i] = static_cast<char>(i * 31 + i / 251);
    }
    inside_->state.Write("boot-log", log);
    return log;
  }
};

TEST_F(EventLogStreamTest, GivesALogThatVerifies) {
  Serve(Listener::kReadSocket);
  inside_->AwaitTpm();
  cli::AttestationClient client(channel_, std::chrono::seconds(20));
  v1::GetEventLogRequest request;
  request.set_nonce(std::string(32, 'n'));
  ASSERT_OK_AND_ASSIGN(const v1::GetEventLogResponse log,
                       client.GetEventLog(request));
  eventlog::Bundle bundle;
  bundle.evidence = ToBytes(log.evidence());
  ASSERT_OK_AND_ASSIGN(bundle.records,
                       eventlog::ParseCel(AsBytes(log.records())));
  ASSERT_OK_AND_ASSIGN(const evidence::HostIdentity identity,
                       inside_->attestor.HostIdentity());
  verifier::Anchors anchors;
  ASSERT_THAT(anchors.Add(wire::HostIdentityToJson(identity)), IsOk());
  verifier::EventLogPolicy policy;
  policy.evidence.nonce = Bytes(32, 'n');
  ASSERT_OK_AND_ASSIGN(
      const auto appraisal,
      verifier::VerifyEventLog(eventlog::EncodeBundle(bundle), anchors, policy,
                               inside_->clock.Now()));
  EXPECT_TRUE(appraisal.verdict.trusted())
      << appraisal.verdict.reasons.front().code << " "
      << appraisal.verdict.reasons.front().found;
  EXPECT_GE(appraisal.last_record, 1u);
}

TEST_F(EventLogStreamTest, SendsEvidenceFirstAndLongPartsInPieces) {
  Serve();
  inside_->AwaitTpm();
  const std::string boot_log = WriteBootLog((700u << 10) + 1);
  const Answer answer = Get("");
  ASSERT_THAT(answer.status, IsOk());
  ASSERT_GE(answer.pieces.size(), 5u);
  EXPECT_FALSE(answer.pieces.front().evidence().empty());
  std::string boot;
  std::string records;
  for (size_t i = 1; i < answer.pieces.size(); ++i) {
    const v1::GetEventLogResponse& piece = answer.pieces[i];
    EXPECT_TRUE(piece.evidence().empty());
    EXPECT_LE(piece.ByteSizeLong(), (256u << 10) + 16);
    EXPECT_TRUE(records.empty() || piece.boot_log().empty()) << "out of order";
    boot += piece.boot_log();
    records += piece.records();
  }
  EXPECT_EQ(boot, boot_log);
  EXPECT_THAT(eventlog::ParseCel(AsBytes(records)), IsOk());
}

TEST_F(EventLogStreamTest, WrongNonceIsNamed) {
  Serve();
  inside_->AwaitTpm();
  for (const size_t size : {1, 15, 65}) {
    const Answer answer = Get(std::string(size, 'n'));
    EXPECT_TRUE(answer.pieces.empty());
    EXPECT_EQ(ReasonOf(answer.status),
              (ErrorInfo{"FIELD_INVALID", {{"field", "nonce"}}}));
  }
}

TEST_F(EventLogStreamTest, FailureEndsTheStreamWithItsReason) {
  Serve();
  inside_->AwaitTpm();
  ASSERT_THAT(Get("").status, IsOk());
  inside_->signer.Stop();
  const Answer answer = Get("");
  EXPECT_TRUE(answer.pieces.empty());
  EXPECT_THAT(answer.status, StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(EventLogStreamTest, ClientThatLeavesReleasesTheStream) {
  Serve();
  inside_->AwaitTpm();
  WriteBootLog(8u << 20);
  {
    grpc::ClientContext context;
    const auto reader =
        attestation_->GetEventLog(&context, v1::GetEventLogRequest());
    v1::GetEventLogResponse piece;
    ASSERT_TRUE(reader->Read(&piece));
    context.TryCancel();
    EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  // Nothing is left that a server would have to wait for.
  const auto before = std::chrono::steady_clock::now();
  server_->Shutdown(In(std::chrono::minutes(5)));
  EXPECT_LT(std::chrono::steady_clock::now() - before,
            std::chrono::seconds(30));
}

}  // namespace
}  // namespace vmattest::rpc
