#include "ledger/entry.h"

#include "gmock/gmock.h"
#include "merkle/tree.h"
#include "support/ledger_rig.h"
#include "support/matchers.h"
#include "wire/messages.h"

namespace vmattest::ledger {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
using vmattest::testing::IsOk;
using vmattest::testing::LedgerRig;
using vmattest::testing::LedgerVm;
using vmattest::testing::LedgerVmField;
using vmattest::testing::StatusIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

class EntryTest : public ::testing::Test {
 protected:
  // An entry of a host with whatever `spoil` made of its body.
  absl::StatusOr<Entry> Spoilt(
      const std::function<void(v1::LedgerEntryBody&)>& spoil) {
    return ParseEntry(rig_.ByHost("h1", [&](v1::LedgerEntryBody& body) {
      body.mutable_attest_result()->set_vm_id(LedgerVmField(1));
      spoil(body);
    }));
  }
  LedgerRig rig_;
};

TEST_F(EntryTest, KeepsBytesAsTheyAre) {
  const Bytes bytes = rig_.Result("h1", 1, true);
  ASSERT_OK_AND_ASSIGN(const Entry entry, ParseEntry(bytes));
  EXPECT_EQ(entry.bytes, bytes);
  EXPECT_EQ(entry.hash, Hash(HashAlgorithm::kSha256, bytes));
  EXPECT_EQ(entry.Writer(), "h1");
  EXPECT_EQ(TypeName(entry.body), "attest-result");
  EXPECT_THAT(entry.links, SizeIs(1));
}

TEST_F(EntryTest, NamesTheSignerOfADocument) {
  ASSERT_OK_AND_ASSIGN(const Entry entry, ParseEntry(rig_.Authorise("h1")));
  EXPECT_TRUE(entry.by_document);
  EXPECT_EQ(entry.Writer(),
            "key/" + ToHex(rig_.authority_key().public_key().key_id));
}

TEST_F(EntryTest, RefusesUnknownFieldsAtEachLevel) {
  const auto add = [](google::protobuf::Message& message) {
    message.GetReflection()->MutableUnknownFields(&message)->AddVarint(900, 1);
  };
  v1::LedgerEntry good;
  const Bytes bytes = rig_.Result("h1", 1, true);
  ASSERT_TRUE(
      good.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
  ASSERT_THAT(ParseEntry(wire::Serialize(good)), IsOk());
  v1::LedgerEntry entry = good;
  add(entry);
  EXPECT_THAT(ParseEntry(wire::Serialize(entry)),
              StatusIs(kInvalid, HasSubstr("LedgerEntry")));
  entry = good;
  add(*entry.mutable_host());
  EXPECT_THAT(ParseEntry(wire::Serialize(entry)), StatusIs(kInvalid));
  EXPECT_THAT(Spoilt(add), StatusIs(kInvalid));
  EXPECT_THAT(
      Spoilt([&](v1::LedgerEntryBody& body) { add(*body.mutable_clock()); }),
      StatusIs(kInvalid));
  EXPECT_THAT(Spoilt([&](v1::LedgerEntryBody& body) {
                add(*body.mutable_attest_result());
              }),
              StatusIs(kInvalid));
  EXPECT_THAT(Spoilt([&](v1::LedgerEntryBody& body) {
                add(*body.mutable_attest_batch()->add_changes());
              }),
              StatusIs(kInvalid));
  v1::LedgerRecord record;
  record.set_time_unix_ms(1);
  record.set_entry(bytes.data(), bytes.size());
  ASSERT_THAT(ParseRecord(wire::Serialize(record)), IsOk());
  add(record);
  EXPECT_THAT(ParseRecord(wire::Serialize(record)), StatusIs(kInvalid));
}

// As ParseEntry() takes for granted where it looks for unknown fields.
TEST_F(EntryTest, NoMessageInABodyIsRepeated) {
  const google::protobuf::Descriptor& body = *v1::LedgerEntryBody::descriptor();
  for (int i = 0; i < body.field_count(); ++i) {
    EXPECT_FALSE(body.field(i)->message_type() != nullptr &&
                 body.field(i)->is_repeated())
        << body.field(i)->name();
  }
}

TEST_F(EntryTest, RefusesEveryTruncationAndTrailingBytes) {
  for (const Bytes& bytes :
       {rig_.Result("h1", 1, true), rig_.Authorise("h1")}) {
    for (size_t size = 0; size < bytes.size(); ++size) {
      ASSERT_THAT(ParseEntry(ByteView(bytes).first(size)), StatusIs(kInvalid));
    }
    Bytes longer = bytes;
    longer.push_back(0);
    EXPECT_THAT(ParseEntry(longer), StatusIs(kInvalid));
  }
}

TEST_F(EntryTest, RefusesBodiesThatMakeNoSense) {
  EXPECT_THAT(Spoilt([](v1::LedgerEntryBody&) {}), IsOk());
  EXPECT_THAT(Spoilt([](v1::LedgerEntryBody& body) { body.clear_host_id(); }),
              StatusIs(kInvalid, HasSubstr("host_id")));
  EXPECT_THAT(Spoilt([](v1::LedgerEntryBody& body) { body.mutable_header(); }),
              StatusIs(kInvalid, HasSubstr("host_id")));
  EXPECT_THAT(
      Spoilt([](v1::LedgerEntryBody& body) { body.clear_attest_result(); }),
      StatusIs(kInvalid, HasSubstr("says nothing")));
  EXPECT_THAT(Spoilt([](v1::LedgerEntryBody& body) { body.set_sequence(0); }),
              StatusIs(kInvalid, HasSubstr("sequence")));
  EXPECT_THAT(Spoilt([](v1::LedgerEntryBody& body) { body.set_sequence(2); }),
              StatusIs(kInvalid, HasSubstr("sequence")));
  EXPECT_THAT(
      Spoilt([](v1::LedgerEntryBody& body) { body.set_time_unix_ms(-1); }),
      StatusIs(kInvalid));
  EXPECT_THAT(Spoilt([](v1::LedgerEntryBody& body) {
                body.mutable_attest_result()->set_vm_id("short");
              }),
              StatusIs(kInvalid, HasSubstr("vm_id")));
  EXPECT_THAT(Spoilt([](v1::LedgerEntryBody& body) {
                body.mutable_attest_result()->set_vm_previous("short");
              }),
              StatusIs(kInvalid, HasSubstr("vm_previous")));
}

TEST_F(EntryTest, RefusesABatchThatNamesAVmTwiceOrOutOfOrder) {
  const auto batch = [&](std::vector<uint8_t> vms) {
    return Spoilt([&](v1::LedgerEntryBody& body) {
      for (const uint8_t vm : vms) {
        body.mutable_attest_batch()->add_changes()->set_vm_id(
            LedgerVmField(vm));
      }
    });
  };
  EXPECT_THAT(batch({1, 2}), IsOk());
  EXPECT_THAT(batch({1, 1}), StatusIs(kInvalid));
  EXPECT_THAT(batch({2, 1}), StatusIs(kInvalid));
}

TEST_F(EntryTest, RefusesWhatIsTooLarge) {
  EXPECT_THAT(Spoilt([](v1::LedgerEntryBody& body) {
                body.mutable_attest_result()->set_reason(
                    std::string(kMaxEntrySize, 'x'));
              }),
              StatusIs(kInvalid));
}

TEST_F(EntryTest, RecordsCarryLedgerTime) {
  const Bytes entry = rig_.Result("h1", 1, true);
  const Bytes bytes = EncodeRecord(123, entry);
  ASSERT_OK_AND_ASSIGN(const Record record, ParseRecord(bytes));
  EXPECT_EQ(record.time_unix_ms, 123);
  EXPECT_EQ(record.entry, entry);
  EXPECT_THAT(ParseRecord(EncodeRecord(0, entry)), StatusIs(kInvalid));
  EXPECT_THAT(ParseRecord(ByteView(bytes).first(bytes.size() - 1)),
              StatusIs(kInvalid));
}

// docs/formats/ledger.md
TEST_F(EntryTest, TheExampleOfTheFormatIsTrue) {
  v1::LedgerEntryBody body;
  body.set_log("ledger.example/doc");
  body.set_host_id("h1");
  body.set_sequence(1);
  body.set_time_unix_ms(1'700'000'000'000);
  body.mutable_notice()->set_kind(v1::LedgerNotice::KIND_HOST_EVENT);
  body.mutable_notice()->set_text("hello");
  const std::string bytes = body.SerializeAsString();
  EXPECT_EQ(ToHex(AsBytes(bytes)),
            "12126c65646765722e6578616d706c652f646f631a02683120013080d095ffbc31"
            "e2010908072a0568656c6c6f");
  EXPECT_EQ(ToHex(HostEntryDigest(AsBytes(bytes))),
            "76ec09f1c9affca33631c1729fb4d72e50c3920efb1ef3728266ea7078cdee1d");
  v1::LedgerEntry entry;
  entry.set_format("vmattest/ledger-entry/v1");
  entry.mutable_host()->set_body(bytes);
  entry.mutable_host()->set_signature(std::string(32, 0x11) +
                                      std::string(32, 0x22));
  ASSERT_OK_AND_ASSIGN(const Entry parsed,
                       ParseEntry(ToBytes(entry.SerializeAsString())));
  EXPECT_EQ(parsed.bytes.size(), 141u);
  EXPECT_EQ(ToHex(parsed.hash),
            "9624b068730defc91e5f413c02f7bb05b95f8a5db61257ffe649251033f9340f");
  EXPECT_EQ(
      ToHex(merkle::LeafHash(HashAlgorithm::kSha256,
                             EncodeRecord(1'700'000'000'123, parsed.bytes))),
      "89e40ff6a0c45595be0057012fd4a0c687a80f3f892a561ddb72b0c25aca4372");
}

TEST(ResultsRoot, IsOverTheResultsInOrder) {
  const VmResult a{LedgerVm(1), v1::LEDGER_OUTCOME_PASS, Bytes(32, 1)};
  const VmResult b{LedgerVm(2), v1::LEDGER_OUTCOME_FAIL, Bytes(32, 2)};
  EXPECT_EQ(ResultsRoot({a, b}), ResultsRoot({b, a}));
  VmResult c = b;
  c.outcome = v1::LEDGER_OUTCOME_PASS;
  EXPECT_NE(ResultsRoot({a, b}), ResultsRoot({a, c}));
}

}  // namespace
}  // namespace vmattest::ledger
