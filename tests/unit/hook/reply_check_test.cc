#include "hook/reply_check.h"

#include <functional>

#include "crypto/digest.h"
#include "fakes/fake_launch_verifier.h"
#include "gate/gate_key.h"
#include "gmock/gmock.h"
#include "hook/hook_config.h"

namespace vmattest::hook {
namespace {

using gate::Basis;
using gate::GateCall;
using gate::GateReply;

constexpr char kUuid[] = "00112233-4455-6677-8899-aabbccddeeff";
constexpr char kOther[] = "ffffffff-4455-6677-8899-aabbccddeeff";

class ReplyCheckTest : public ::testing::Test {
 protected:
  ReplyCheckTest() {
    EcPrivateKey key = EcPrivateKey::Generate();
    config_.gate_key = key.public_key();
    key_ = std::make_unique<gate::GateKey>(std::move(key));
    config_.verifier_keys = verifier_.keys();
    config_.host_id = std::string(64, 'a');
    config_.accept = {Basis::kVerdict, Basis::kKeptVerdict, Basis::kDeferred,
                      Basis::kNotGated};
    verifier_.change = [](token::Ear& ear) {
      ear.submodules["config"].host_id = std::string(64, 'a');
    };
    call_.nonce = RandomBytes(gate::kGateNonceSize);
    call_.domain = "web";
    call_.operation = "prepare";
    call_.xml = Xml(kUuid);
  }
  static std::string Xml(const std::string& uuid) {
    return "<domain><name>web</name><uuid>" + uuid + "</uuid></domain>";
  }
  GateReply Reply(Basis basis) {
    GateReply reply;
    reply.allowed = true;
    reply.basis = basis;
    reply.vm_uuid = kUuid;
    reply.ear = *verifier_.Appraise(
        {.evidence = {}, .nonce = call_.nonce, .vm_uuid = kUuid}, {});
    key_->Sign(call_, reply);
    return reply;
  }
  std::string Code(const GateReply& reply) { return Code(call_, reply); }
  std::string Code(const GateCall& call, const GateReply& reply) {
    const Verdict verdict = CheckReply(call, reply, config_, clock_.Now());
    return verdict.trusted() ? "" : verdict.reasons.front().code;
  }

  SystemClock clock_;
  testing::FakeLaunchVerifier verifier_{clock_};
  std::unique_ptr<gate::GateKey> key_;
  HookConfig config_;
  GateCall call_;
};

TEST_F(ReplyCheckTest, BelievesTheDaemonAndTheVerifierTogether) {
  EXPECT_EQ(Code(Reply(Basis::kVerdict)), "");
  EXPECT_EQ(Code(Reply(Basis::kKeptVerdict)), "");
}

TEST_F(ReplyCheckTest, AnyChangeOfAReplyIsSeen) {
  const std::function<void(GateReply&)> changes[] = {
      [](GateReply& r) { r.basis = Basis::kKeptVerdict; },
      [](GateReply& r) { r.vm_uuid = kOther; },
      [](GateReply& r) { r.ear += "x"; },
      [](GateReply& r) { r.code = "x"; },
      [](GateReply& r) { r.sentence = "x"; },
      [](GateReply& r) { r.signature_r[5] ^= 1; },
      [](GateReply& r) { r.signature_s.clear(); },
  };
  for (const auto& change : changes) {
    GateReply reply = Reply(Basis::kVerdict);
    change(reply);
    EXPECT_EQ(Code(reply), "reply-signature");
  }
  GateReply denied;
  denied.code = "gate-refused";
  key_->Sign(call_, denied);
  EXPECT_EQ(Code(denied), "");
  denied.allowed = true;
  denied.basis = Basis::kWarn;
  EXPECT_EQ(Code(denied), "reply-signature");
}

TEST_F(ReplyCheckTest, AReplyOfAnotherCallIsAReplay) {
  const GateReply reply = Reply(Basis::kVerdict);
  const std::function<void(GateCall&)> changes[] = {
      [](GateCall& c) { c.nonce[0] ^= 1; },
      [](GateCall& c) { c.operation = "start"; },
      [](GateCall& c) { c.domain = "db"; },
      [](GateCall& c) { c.xml += " "; },
  };
  for (const auto& change : changes) {
    GateCall other = call_;
    change(other);
    EXPECT_EQ(Code(other, reply), "reply-signature");
  }
}

TEST_F(ReplyCheckTest, AnotherKeyIsNotTheDaemons) {
  GateReply reply = Reply(Basis::kVerdict);
  gate::GateKey(EcPrivateKey::Generate()).Sign(call_, reply);
  EXPECT_EQ(Code(reply), "reply-signature");
}

TEST_F(ReplyCheckTest, VerdictsThatAreNotForThisVmHereAndNowAreRefused) {
  struct Lie {
    std::function<void(token::Ear&)> tell;
    std::string code;
  };
  const Lie lies[] = {
      {[](token::Ear& e) { e.nonce = Bytes(32, 1); }, "token-nonce"},
      {[](token::Ear& e) { e.submodules["config"].vm_uuid = kOther; },
       "reply-vm"},
      {[](token::Ear& e) {
         e.submodules["config"].host_id = std::string(64, 'b');
       },
       "reply-host"},
      {[this](token::Ear& e) {
         e.issued = clock_.Now() - std::chrono::hours(3);
         e.expires = clock_.Now() - std::chrono::hours(2);
       },
       "token-expired"},
      {[](token::Ear& e) {
         e.submodules["config"].status = token::Tier::kContraindicated;
         e.submodules["config"].trust_vector["configuration"] = 96;
       },
       "reply-verdict"},
      {[](token::Ear& e) { e.profile = "tag:example.org,2026:other"; },
       "token-profile"},
  };
  for (const Lie& lie : lies) {
    verifier_.change = lie.tell;
    EXPECT_EQ(Code(Reply(Basis::kVerdict)), lie.code);
  }
}

TEST_F(ReplyCheckTest, OnlyAKeptVerdictMayHaveAnotherNonce) {
  verifier_.change = [](token::Ear& ear) { ear.nonce = Bytes(32, 1); };
  EXPECT_EQ(Code(Reply(Basis::kVerdict)), "token-nonce");
  EXPECT_EQ(Code(Reply(Basis::kKeptVerdict)), "");
}

TEST_F(ReplyCheckTest, AStrangersVerdictIsRefused) {
  const testing::FakeLaunchVerifier stranger(clock_);
  config_.verifier_keys = stranger.keys();
  EXPECT_EQ(Code(Reply(Basis::kVerdict)), "token-key-unknown");
}

TEST_F(ReplyCheckTest, WhatTheHooksOwnFileDoesNotAcceptIsRefused) {
  EXPECT_EQ(Code(Reply(Basis::kWarn)), "reply-basis");
  EXPECT_EQ(Code(Reply(Basis::kBreakGlass)), "reply-basis");
  config_.accept.insert(Basis::kWarn);
  EXPECT_EQ(Code(Reply(Basis::kWarn)), "");
}

TEST_F(ReplyCheckTest, DeferringIsForWhatStartFollowsAndGatedIsNeverNotGated) {
  EXPECT_EQ(Code(Reply(Basis::kNotGated)), "reply-basis");
  for (const char* operation : {"prepare", "restore", "migrate"}) {
    call_.operation = operation;
    EXPECT_EQ(Code(Reply(Basis::kDeferred)), "") << operation;
  }
  for (const char* operation : {"start", "started"}) {
    call_.operation = operation;
    EXPECT_EQ(Code(Reply(Basis::kDeferred)), "reply-basis") << operation;
  }
}

TEST_F(ReplyCheckTest, TheUuidIsTheXmlsFirstAndNotWhatTheDaemonSays) {
  call_.xml = Xml(kOther);
  EXPECT_EQ(Code(Reply(Basis::kVerdict)), "reply-vm");
  call_.xml = "<domain/>";
  EXPECT_EQ(Code(Reply(Basis::kVerdict)), "reply-vm");
  EXPECT_EQ(UuidOf("<domain><uuid>" + std::string(kUuid) +
                   "</uuid><metadata><uuid>" + kOther + "</uuid></metadata>"),
            kUuid);
}

}  // namespace
}  // namespace vmattest::hook
