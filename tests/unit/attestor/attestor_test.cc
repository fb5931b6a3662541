#include "attestor/attestor.h"

#include <memory>
#include <set>

#include "evidence/config_tree.h"
#include "fakes/fake_host_tpm.h"
#include "gmock/gmock.h"
#include "signing/local_signer.h"
#include "support/matchers.h"
#include "support/temp_dir.h"
#include "unit/attestor/attestor_bed.h"
#include "wire/codec.h"

namespace vmattest::attestor {
namespace {

using measurement::DomainMeasurement;
using ::testing::AllOf;
using testing::AttestorBed;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::HeldExecutor;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::SizeIs;
using testing::StatusIs;

// Collects answers and lets a test wait for them. Callable from any thread.
template <class T>
class Answers {
 public:
  std::function<void(absl::StatusOr<T>)> Taker() {
    return [this](absl::StatusOr<T> answer) {
      const MutexLock lock(mutex_);
      answers_.push_back(std::move(answer));
      changed_.NotifyAll();
    };
  }
  std::vector<absl::StatusOr<T>> Wait(size_t count) {
    const auto end =
        std::chrono::steady_clock::now() + std::chrono::seconds(60);
    const MutexLock lock(mutex_);
    while (answers_.size() < count && changed_.WaitUntil(mutex_, end)) {
    }
    return answers_;
  }
  absl::StatusOr<T> One() {
    const auto answers = Wait(1);
    return answers.empty() ? absl::InternalError("no answer") : answers.front();
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::vector<absl::StatusOr<T>> answers_ GUARDED_BY(mutex_);
};

class AttestorTest : public ::testing::Test {
 protected:
  AttestorTest() {
    Make(bed_.executor, {});
    EXPECT_THAT(ready_.One(), IsOk());
  }
  void Make(Executor& requests, Attestor::Options options) {
    attestor_.reset();
    attestor_ = std::make_unique<Attestor>(
        Attestor::Parts{.hypervisor = bed_.hypervisor,
                        .measurer = bed_.measurer,
                        .signer = signer_,
                        .store = bed_.store,
                        .recorder = bed_.recorder,
                        .requests = requests,
                        .clock = clock_},
        options);
  }
  ConfigRequest Request(const std::string& vm) {
    ConfigRequest request;
    request.vm = vm;
    request.nonce = Bytes(32, 0x5a);
    request.deadline = clock_.Monotonic() + std::chrono::seconds(60);
    return request;
  }
  absl::StatusOr<Bytes> Attest(ConfigRequest request) {
    Answers<Bytes> answers;
    attestor_->AttestConfig(std::move(request), answers.Taker());
    return answers.One();
  }
  absl::StatusOr<DomainMeasurement> Measure(ConfigRequest request) {
    Answers<DomainMeasurement> answers;
    attestor_->MeasureConfig(std::move(request), answers.Taker());
    return answers.One();
  }

  SystemClock clock_;
  AttestorBed bed_;
  testing::FakeHostTpm tpm_;
  Answers<bool> ready_;
  testing::TempDir state_;
  signing::LocalSigner signer_{
      tpm_,
      clock_,
      {.work = {.state_dir = state_.path(),
                .post_quantum = {.mode = signing::PqMode::kOff},
                .on_state =
                    [tell = ready_.Taker()](const signing::SignerState& now) {
                      if (now.tpm.ok() && now.log) {
                        tell(true);
                      }
                    }}}};
  std::unique_ptr<Attestor> attestor_;
};

TEST_F(AttestorTest, AttestsWhatItMeasured) {
  const Uuid web = bed_.Define("web");
  bed_.hypervisor.Start(web);
  ASSERT_OK_AND_ASSIGN(const Bytes bytes, Attest(Request("web")));
  ASSERT_OK_AND_ASSIGN(const evidence::Evidence evidence,
                       wire::ParseEvidence(bytes));
  ASSERT_OK_AND_ASSIGN(const evidence::ConfigStatement statement,
                       wire::ParseConfigStatement(evidence.envelope.payload));
  EXPECT_EQ(statement.header.vm_uuid, ToString(web));
  EXPECT_EQ(statement.header.vm_name, "web");
  EXPECT_EQ(statement.header.nonce, Bytes(32, 0x5a));
  EXPECT_EQ(statement.header.host_id, signer_.state().identity->host_id);
  EXPECT_THAT(statement.header.signature_algorithms, ElementsAre("tpm2-quote"));
  EXPECT_EQ(statement.vm_state, "running");
  EXPECT_EQ(statement.xml_kind, "live");
  EXPECT_EQ(statement.content, "chain");
  EXPECT_THAT(evidence.envelope.signatures, SizeIs(1));
  ASSERT_THAT(evidence.keys, SizeIs(1));
  EXPECT_EQ(evidence.keys[0].purpose, KeyPurpose::kConfig);
  ASSERT_OK_AND_ASSIGN(
      const ConfigTree tree,
      evidence::RebuildConfigTree(statement.algorithm, evidence.leaves));
  EXPECT_EQ(tree.root, statement.root);
  EXPECT_EQ(statement.leaf_count, evidence.leaves.size());
}

TEST_F(AttestorTest, AStoppedVmIsMeasuredWithTheFirmwareItWouldGet) {
  const Uuid web = testing::FakeHypervisor::UuidOf("web");
  const std::string xml = "<domain type='qemu'><name>web</name><uuid>" +
                          ToString(web) + "</uuid><os firmware='efi'/>" +
                          "<metadata/></domain>";
  bed_.hypervisor.Define("web", xml);
  const auto loader = [this] {
    const auto bytes = Attest(Request("web"));
    EXPECT_THAT(bytes, IsOk());
    const auto evidence = wire::ParseEvidence(bytes.value_or(Bytes()));
    EXPECT_THAT(evidence, IsOk());
    for (const ConfigLeaf& leaf : evidence->leaves) {
      if (leaf.path == "os/loader/content") {
        return ToString(leaf.type);
      }
    }
    return std::string_view("none");
  };
  EXPECT_EQ(loader(), ToString(LeafType::kUnavailable));
  bed_.hypervisor.AnswerStartCommand("qemu -bios /fw.bin");
  EXPECT_EQ(loader(), ToString(LeafType::kDigest));
  EXPECT_THAT(bed_.hypervisor.asked_start_command(),
              ::testing::Not(::testing::HasSubstr("metadata")));
  bed_.hypervisor.AnswerStartCommand(absl::UnavailableError("libvirt is gone"));
  EXPECT_THAT(Attest(Request("web")),
              StatusIs(absl::StatusCode::kUnavailable,
                       ::testing::HasSubstr("which firmware")));
}

TEST_F(AttestorTest, FindsAVmByUuidToo) {
  const Uuid web = bed_.Define("web");
  EXPECT_THAT(Attest(Request(ToString(web))), IsOk());
}

TEST_F(AttestorTest, NumbersItsStatements) {
  bed_.Define("web");
  std::set<uint64_t> sequences;
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(const Bytes bytes, Attest(Request("web")));
    ASSERT_OK_AND_ASSIGN(const auto evidence, wire::ParseEvidence(bytes));
    sequences.insert(
        wire::ParseConfigStatement(evidence.envelope.payload)->header.sequence);
  }
  EXPECT_THAT(sequences, ElementsAre(1, 2, 3));
}

TEST_F(AttestorTest, NamesTheVmAndTheFileThatIsMissing) {
  bed_.Define("web");
  bed_.digester.missing = "/images/web.vmlinuz";
  EXPECT_THAT(Attest(Request("web")),
              StatusIs(absl::StatusCode::kNotFound,
                       AllOf(HasSubstr("attesting vm web: measuring: "),
                             HasSubstr("/images/web.vmlinuz"))));
}

TEST_F(AttestorTest, RefusesNoncesOfAnotherSize) {
  bed_.Define("web");
  for (const size_t size : {1, 15, 65}) {
    ConfigRequest request = Request("web");
    request.nonce = Bytes(size, 1);
    EXPECT_THAT(Attest(request), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  for (const size_t size : {0, 16, 64}) {
    ConfigRequest request = Request("web");
    request.nonce = Bytes(size, 1);
    EXPECT_THAT(Attest(request), IsOk());
  }
}

TEST_F(AttestorTest, SaysWhatItCannotReach) {
  EXPECT_THAT(Attest(Request("absent")), StatusIs(absl::StatusCode::kNotFound));
  bed_.hypervisor.Disconnect();
  EXPECT_THAT(Attest(Request("web")),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("libvirt")));
}

TEST_F(AttestorTest, AnswersWithoutMeasuringOnceTheCallerGaveUp) {
  bed_.Define("web");
  ConfigRequest request = Request("web");
  request.cancelled = [] { return true; };
  EXPECT_THAT(Measure(request), StatusIs(absl::StatusCode::kCancelled));
  request = Request("web");
  request.deadline = clock_.Monotonic();
  EXPECT_THAT(Measure(request), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(bed_.digester.reads, 0);
}

TEST_F(AttestorTest, S8_TheClockIsReadBeforeMeasuring) {
  bed_.Define("web");
  bed_.hypervisor.OnGetXml(
      [this] { tpm_.AdvanceClock(std::chrono::seconds(5)); });
  const uint64_t before = tpm_.ReadClock()->clock_ms;
  ASSERT_OK_AND_ASSIGN(const Bytes bytes, Attest(Request("web")));
  ASSERT_OK_AND_ASSIGN(const auto evidence, wire::ParseEvidence(bytes));
  EXPECT_EQ(wire::ParseConfigStatement(evidence.envelope.payload)
                ->header.measured_at.clock_ms,
            before);
}

TEST_F(AttestorTest, SharesOneMeasurementAmongThoseThatWait) {
  HeldExecutor held;
  Make(held, {});
  bed_.Define("web");
  Answers<DomainMeasurement> answers;
  for (int i = 0; i < 10; ++i) {
    attestor_->MeasureConfig(Request("web"), answers.Taker());
  }
  held.RunAll();
  EXPECT_THAT(answers.Wait(10), AllOf(SizeIs(10), Each(IsOk())));
  EXPECT_EQ(bed_.hypervisor.xml_reads(), 1);
}

TEST_F(AttestorTest, SharesNoMeasurementThatBeganBeforeTheRequest) {
  HeldExecutor held;
  Make(held, {});
  bed_.Define("web");
  Answers<DomainMeasurement> answers;
  bed_.hypervisor.OnGetXml([&] {
    bed_.hypervisor.OnGetXml(nullptr);
    attestor_->MeasureConfig(Request("web"), answers.Taker());
  });
  attestor_->MeasureConfig(Request("web"), answers.Taker());
  held.RunAll();
  EXPECT_THAT(answers.Wait(2), Each(IsOk()));
  EXPECT_EQ(bed_.hypervisor.xml_reads(), 2);
}

TEST_F(AttestorTest, SharesNoMeasurementMadeAnotherWay) {
  HeldExecutor held;
  Make(held, {});
  bed_.Define("web");
  Answers<DomainMeasurement> answers;
  ConfigRequest sha512 = Request("web");
  sha512.algorithm = HashAlgorithm::kSha512;
  ConfigRequest fresh = Request("web");
  fresh.fresh = true;
  ConfigRequest none = Request("web");
  none.content = measurement::ContentPolicy::kNone;
  for (const ConfigRequest& request : {Request("web"), sha512, fresh, none}) {
    attestor_->MeasureConfig(request, answers.Taker());
  }
  held.RunAll();
  EXPECT_THAT(answers.Wait(4), Each(IsOk()));
  EXPECT_EQ(bed_.hypervisor.xml_reads(), 4);
}

TEST_F(AttestorTest, GoesOnMeasuringForThoseWhoStillWait) {
  HeldExecutor held;
  Make(held, {});
  bed_.Define("web");
  bool gone = false;
  bed_.digester.on_digest = [&](const auto&) { gone = true; };
  Answers<DomainMeasurement> patient;
  Answers<DomainMeasurement> impatient;
  ConfigRequest request = Request("web");
  request.cancelled = [&] { return gone; };
  attestor_->MeasureConfig(request, impatient.Taker());
  attestor_->MeasureConfig(Request("web"), patient.Taker());
  held.RunAll();
  EXPECT_THAT(patient.One(), IsOk());
  EXPECT_THAT(impatient.One(), StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(AttestorTest, RefusesMoreThanItMayHold) {
  HeldExecutor held;
  Make(held, {.max_pending = 2});
  bed_.Define("web");
  Answers<DomainMeasurement> answers;
  for (int i = 0; i < 3; ++i) {
    attestor_->MeasureConfig(Request("web"), answers.Taker());
  }
  EXPECT_THAT(answers.Wait(1),
              ElementsAre(StatusIs(absl::StatusCode::kResourceExhausted)));
  held.RunAll();
  EXPECT_THAT(answers.Wait(3), SizeIs(3));
}

TEST_F(AttestorTest, AnswersAllWhenTheExecutorIsFull) {
  HeldExecutor held;
  held.SetFull(true);
  Make(held, {});
  EXPECT_THAT(Measure(Request("web")),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       HasSubstr("measuring vm web")));
}

TEST_F(AttestorTest, RecordsARequestOnlyWhereItFoundSomethingNew) {
  const Uuid web = bed_.Define("web");
  ASSERT_THAT(Measure(Request("web")), IsOk());
  ASSERT_THAT(Measure(Request("web")), IsOk());
  EXPECT_THAT(bed_.EventKinds(), SizeIs(1));
  EXPECT_EQ(bed_.Stored(web).last_measurement->cause, "request");
  bed_.Define("web", "<title>tampered</title>");
  ASSERT_THAT(Measure(Request("web")), IsOk());
  EXPECT_THAT(bed_.EventKinds(), SizeIs(2));
}

TEST_F(AttestorTest, DoesNotRecordRootsThatDoNotCompare) {
  bed_.Define("web");
  ConfigRequest request = Request("web");
  request.algorithm = HashAlgorithm::kBlake3;
  ASSERT_THAT(Measure(request), IsOk());
  EXPECT_THAT(bed_.EventKinds(), IsEmpty());
}

TEST_F(AttestorTest, AFailedRequestReplacesTheOldRoot) {
  const Uuid web = bed_.Define("web");
  ASSERT_THAT(Measure(Request("web")), IsOk());
  bed_.digester.missing = "/images/web.vmlinuz";
  ASSERT_FALSE(Measure(Request("web")).ok());
  EXPECT_THAT(bed_.Stored(web).last_measurement->root, IsEmpty());
}

TEST_F(AttestorTest, AttestsThoughTheInventoryCannotBeWritten) {
  bed_.Define("web");
  bed_.store.FailWith(absl::ResourceExhaustedError("disk full"));
  EXPECT_THAT(Attest(Request("web")), IsOk());
}

TEST_F(AttestorTest, ListsPresentAndRememberedVmsInPages) {
  const Uuid a = bed_.Define("a");
  const Uuid b = bed_.Define("b");
  ASSERT_THAT(Measure(Request("a")), IsOk());
  ASSERT_THAT(Measure(Request("b")), IsOk());
  bed_.hypervisor.Undefine(a);
  bed_.Define("c");
  ASSERT_OK_AND_ASSIGN(const auto first, attestor_->ListVms(std::nullopt, 2));
  ASSERT_THAT(first, SizeIs(2));
  EXPECT_EQ(first[0].state, "undefined");
  EXPECT_EQ(first[1].uuid, b);
  EXPECT_TRUE(first[1].last_measurement.has_value());
  ASSERT_OK_AND_ASSIGN(const auto second, attestor_->ListVms(b, 2));
  ASSERT_THAT(second, SizeIs(1));
  EXPECT_EQ(second[0].name, "c");
}

TEST_F(AttestorTest, AnswersFromTheStoreWithoutAHypervisor) {
  bed_.Define("web");
  ASSERT_THAT(Measure(Request("web")), IsOk());
  bed_.hypervisor.Disconnect();
  EXPECT_THAT(attestor_->ListVms(std::nullopt, 10).value(), SizeIs(1));
  EXPECT_EQ(attestor_->GetVm("web")->state, "shutoff");
  EXPECT_THAT(attestor_->GetVm("absent"),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(AttestorTest, AsksForTheUuidWhereSeveralVmsHadTheName) {
  for (const uint8_t number : {1, 2}) {
    inventory::VmRecord vm;
    vm.uuid.bytes[0] = number;
    vm.name = "old";
    vm.state = "undefined";
    inventory::EventRecord event;
    event.uuid = vm.uuid;
    ASSERT_THAT(bed_.store.Record(vm, event), IsOk());
  }
  EXPECT_THAT(attestor_->GetVm("old"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("2 VMs had the name")));
}

// The speed that the design asks for, as a bound that cannot be met without
// sharing: a TPM of five quotes a second, a thousand callers, six quotes.
TEST_F(AttestorTest, AThousandCallersShareAFewQuotes) {
  ThreadPool pool("request", 2, 2048);
  Make(pool, {});
  bed_.Define("web");
  tpm_.SetQuoteDelay(std::chrono::milliseconds(200));
  Answers<Bytes> answers;
  const int before = tpm_.quotes_made();
  for (int i = 0; i < 1000; ++i) {
    ConfigRequest request = Request("web");
    request.nonce = Bytes(16, static_cast<uint8_t>(i));
    attestor_->AttestConfig(request, answers.Taker());
  }
  EXPECT_THAT(answers.Wait(1000), AllOf(SizeIs(1000), Each(IsOk())));
  EXPECT_LE(tpm_.quotes_made() - before, 6);
  attestor_.reset();
}

}  // namespace
}  // namespace vmattest::attestor
