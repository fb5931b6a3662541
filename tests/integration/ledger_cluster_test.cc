// Several vmattest-verifierd as ledger nodes: over one etcd cluster, and as
// each other's witnesses over TLS; and vmattestd as one.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/clock.h"
#include "base/file.h"
#include "cli/ledger_command.h"
#include "cli/ledger_source.h"
#include "cli/verifier_connection.h"
#include "document/key_files.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "merkle/tree.h"
#include "support/daemon_process.h"
#include "support/etcd_cluster.h"
#include "support/ledger_node_process.h"
#include "support/ledger_rig.h"
#include "support/test_node.h"
#include "support/test_pki.h"
#include "tlog/policy.h"
#include "tlog/witness.h"
#include "vmattest/ledger/light_client.h"

namespace vmattest::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
namespace fs = std::filesystem;

constexpr std::chrono::seconds kLimit{60};

MonotonicTime Limit() { return std::chrono::steady_clock::now() + kLimit; }

// The lines of a node's own policy that begin with `word`.
std::string PolicyLines(const LedgerNodeProcess& node, std::string_view word) {
  std::istringstream file(Slurp(node.state() / "ledger.policy"));
  std::string lines;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(word)) {
      lines += line + "\n";
    }
  }
  return lines;
}

class LedgerNodes : public ::testing::Test {
 protected:
  LedgerNodes() {
    rig_.time_ms = SystemClock().Now().time_since_epoch().count();
  }
  // `more`: of the section `ledger`.
  void Configure(LedgerNodeProcess& node, const std::string& origin,
                 const std::string& listen, const std::string& more) const {
    node.dir().Write("keys/test.pub", document::PublicKeyToJson(
                                          rig_.authority_key().public_key()));
    node.dir().Write(
        "v.yaml",
        fmt::format("state_dir: {0}/state\n"
                    "listen:\n  admin_socket: {0}/admin.sock\n{2}"
                    "verification: {{ek_roots: {0}/none, approvers: {0}/none, "
                    "post_quantum: \"off\"}}\n"
                    "ledger:\n  node: true\n  origin: \"{1}\"\n"
                    "  authorities: {0}/keys\n{3}",
                    node.dir().path().string(), origin, listen, more));
  }
  // Its keys, which other nodes' policies name.
  void MakeKeys(LedgerNodeProcess& node) {
    node.Start();
    EXPECT_THAT(Checkpoint(node).problems(), IsEmpty());
    node.Kill();
  }
  static v1::GetCheckpointResponse Checkpoint(const LedgerNodeProcess& node) {
    v1::GetCheckpointResponse checkpoint;
    const grpc::Status status =
        node.Call(&v1::Ledger::Stub::GetCheckpoint, v1::GetCheckpointRequest(),
                  &checkpoint);
    EXPECT_TRUE(status.ok()) << status.error_message() << node.log();
    return checkpoint;
  }
  static bool AwaitWitnessed(const LedgerNodeProcess& node, uint64_t size) {
    for (const MonotonicTime until = Limit();
         std::chrono::steady_clock::now() < until;) {
      if (Checkpoint(node).witnessed() >= size) {
        return true;
      }
    }
    return false;
  }
  static grpc::Status TrySubmit(const LedgerNodeProcess& node,
                                const Bytes& entry,
                                v1::SubmitResponse& response) {
    v1::SubmitRequest request;
    request.set_entry(std::string(AsText(entry)));
    return node.Call(&v1::Ledger::Stub::Submit, request, &response);
  }
  // As an outbox does: the same bytes, to whoever takes them. The index.
  uint64_t Submit(const std::vector<const LedgerNodeProcess*>& nodes,
                  const Bytes& entry) {
    v1::SubmitResponse response;
    grpc::Status status;
    const MonotonicTime until = Limit();
    for (size_t i = 0; std::chrono::steady_clock::now() < until; ++i) {
      status = TrySubmit(*nodes[i % nodes.size()], entry, response);
      if (status.ok()) {
        EXPECT_TRUE(response.committed()) << response.refusal().code();
        rig_.Accepted(*ledger::ParseEntry(entry));
        return response.index();
      }
    }
    ADD_FAILURE() << status.error_message();
    return UINT64_MAX;
  }
  uint64_t Submit(const LedgerNodeProcess& node, const Bytes& entry) {
    return Submit(std::vector{&node}, entry);
  }
  static grpc::Status Trust(const LedgerNodeProcess& node,
                            v1::GetTrustResponse& trust) {
    v1::GetTrustRequest request;
    request.set_vm_uuid(ToString(LedgerVm(1)));
    return node.Call(&v1::Ledger::Stub::GetTrust, request, &trust);
  }
  std::string Listen(uint16_t port) {
    const CertificateFiles server =
        pki_.Issue(fmt::format("server-{}", port), {"IP:127.0.0.1"});
    return fmt::format(
        "  tcp:\n    address: 127.0.0.1:{}\n    certificate: {}\n"
        "    private_key: {}\n    client_ca: {}\n"
        "    clients: [{{identity: \"spiffe://t/node\", role: host}}]\n",
        port, server.certificate.string(), server.private_key.string(),
        pki_.ca().string());
  }
  // Copies what `where` has, or what a copy in `folder` lacks, and audits the
  // copy: what the audit says.
  std::string ExportAndAudit(const cli::VerifierArgs& where,
                             const fs::path& folder, const fs::path& policy) {
    std::ostringstream out;
    const auto live = cli::LiveLedgerSource::Open(where);
    EXPECT_THAT(live, IsOk());
    EXPECT_EQ(cli::RunLedgerExport({.folder = folder.string(), .quiet = true},
                                   out, out, live->get()),
              0)
        << out.str();
    TempDir keys;
    keys.Write("test.pub",
               document::PublicKeyToJson(rig_.authority_key().public_key()));
    for (const LedgerNodeProcess* node : auditors_) {
      const auto key =
          document::LoadPrivateKey(node->state() / "authority.json");
      EXPECT_THAT(key, IsOk());
      keys.Write("node.pub", document::PublicKeyToJson(key->public_key()));
    }
    EXPECT_EQ(cli::RunLedgerAudit({.folder = folder.string(),
                                   .policy = policy,
                                   .authorities = keys.path(),
                                   .quiet = true},
                                  out, out),
              0)
        << out.str();
    return out.str();
  }
  // Writes until the node's keeper dropped the first records, which its archive
  // has, and audits that together with what the node still has.
  void WriteUntilItTrims(LedgerNodeProcess& node, const fs::path& policy) {
    auditors_ = {&node};
    Submit(node, rig_.Authorise("h1"));
    uint64_t last = 0;
    for (int i = 0; i < 1'300; ++i) {
      last = Submit(node, Notice());
    }
    v1::ListRecordsRequest first;
    first.set_limit(1);
    v1::ListRecordsResponse records;
    grpc::Status status;
    for (const MonotonicTime until = Limit();
         status.ok() && std::chrono::steady_clock::now() < until;) {
      status = node.Call(&v1::Ledger::Stub::ListRecords, first, &records);
    }
    EXPECT_EQ(status.error_code(), grpc::StatusCode::OUT_OF_RANGE)
        << status.error_message() << node.log();
    cli::VerifierArgs where;
    where.socket = node.dir().path() / "admin.sock";
    EXPECT_THAT(
        ExportAndAudit(where, node.dir().path() / "archive", policy),
        HasSubstr(fmt::format("{0} of {0} records are good", last + 2)));
    // It opens from the state that it kept, and goes on.
    node.Kill();
    node.Start();
    EXPECT_EQ(Submit(node, Notice()), last + 2);
    EXPECT_THAT(node.log(), Not(HasSubstr("DATA_LOSS")));
  }
  static std::string ArchiveYaml(const LedgerNodeProcess& node) {
    return fmt::format("  archive: {{folder: {}, keep_records: 1000}}\n",
                       (node.dir().path() / "archive").string());
  }
  Bytes Notice() const {
    return rig_.ByHost("h1", [](v1::LedgerEntryBody& body) {
      body.mutable_notice()->set_kind(v1::LedgerNotice::KIND_HOST_EVENT);
    });
  }

  LedgerRig rig_;
  TestPki pki_;
  std::vector<const LedgerNodeProcess*> auditors_;  // whose keys signed, too
};

TEST_F(LedgerNodes, AKeeperTrimsWhatItsArchiveHasInSqlite) {
  LedgerNodeProcess node;
  Configure(node, LedgerRig::kOrigin, "", ArchiveYaml(node));
  node.Start();
  WriteUntilItTrims(node, node.state() / "ledger.policy");
}

class LedgerCluster : public LedgerNodes {
 protected:
  std::string EtcdYaml(const fs::path& policy, int node) {
    const etcd::GrpcKeyValues::Options options = cluster_.Client();
    std::string endpoints;
    for (const std::string& endpoint : options.endpoints) {
      endpoints += fmt::format("\"{}\", ", endpoint);
    }
    return fmt::format(
        "  policy: {}\n"
        "  address: \"node-{}.example:9444\"\n"
        "  etcd: {{endpoints: [{}], certificate: {}, private_key: {}, ca: {}, "
        "allow_unsafe_version: true}}\n",
        policy.string(), node, endpoints, options.certificate.string(),
        options.private_key.string(), options.ca.string());
  }

  EtcdCluster cluster_;
  LedgerNodeProcess one_;
  LedgerNodeProcess two_;
};

TEST_F(LedgerCluster, AKeeperTrimsWhatItsArchiveHasInEtcd) {
  Configure(one_, LedgerRig::kOrigin, "", "");
  MakeKeys(one_);
  const fs::path policy =
      one_.dir().Write("policy", PolicyLines(one_, "log ") + "quorum none\n");
  Configure(one_, LedgerRig::kOrigin, "",
            EtcdYaml(policy, 1) + ArchiveYaml(one_));
  one_.Start();
  WriteUntilItTrims(one_, policy);
}

TEST_F(LedgerCluster, MovesToEtcdAndAnotherNodeTakesOverAfterKill9) {
  const std::string origin = LedgerRig::kOrigin;
  Configure(two_, origin, "", "");
  MakeKeys(two_);
  Configure(one_, origin, "", "");
  one_.Start();
  Submit(one_, rig_.Authorise("h1"));
  Submit(one_, rig_.Register(1));
  Submit(one_, rig_.Launch("h1", 1));
  const uint64_t last = Submit(one_, rig_.Result("h1", 1, false));
  ASSERT_TRUE(AwaitWitnessed(one_, last + 1));
  v1::GetTrustResponse before;
  ASSERT_TRUE(Trust(one_, before).ok());
  one_.Kill();

  const std::string policy_text =
      PolicyLines(one_, "log ") + PolicyLines(two_, "log ") + "quorum none\n";
  const fs::path policy = one_.dir().Write("policy", policy_text);
  Configure(one_, origin, "", EtcdYaml(policy, 1));
  const uint16_t port = UnusedPort();
  Configure(two_, origin, Listen(port), EtcdYaml(policy, 2));
  ASSERT_EQ(one_.RunTask("--move-ledger-to-etcd"), 0) << one_.log();
  one_.Start();
  const Bytes moved = Notice();
  EXPECT_EQ(Submit(one_, moved), last + 1);
  // What was proved before the move is proved in what is there now.
  ASSERT_TRUE(AwaitWitnessed(one_, last + 2));
  const tlog::WitnessPolicy parsed = *tlog::WitnessPolicy::Parse(policy_text);
  const auto opened = [&](const std::string& note) {
    return tlog::OpenCheckpoint(note, parsed)->checkpoint;
  };
  const tlog::Checkpoint old = opened(before.newest().checkpoint());
  const tlog::Checkpoint now = opened(Checkpoint(one_).checkpoint());
  v1::GetConsistencyProofRequest pair;
  pair.set_old_size(old.size);
  pair.set_size(now.size);
  v1::GetConsistencyProofResponse proof;
  ASSERT_TRUE(
      one_.Call(&v1::Ledger::Stub::GetConsistencyProof, pair, &proof).ok());
  std::vector<Bytes> path;
  for (const std::string& hash : proof.path()) {
    path.push_back(ToBytes(hash));
  }
  EXPECT_TRUE(merkle::VerifyConsistency(HashAlgorithm::kSha256, old.size,
                                        now.size, old.root, now.root, path));

  // A second node reads along, and says who leads.
  two_.Start();
  const Bytes refused = Notice();
  v1::SubmitResponse response;
  EXPECT_EQ(TrySubmit(two_, refused, response).error_code(),
            grpc::StatusCode::ABORTED);
  ASSERT_TRUE(AwaitWitnessed(two_, last + 2));
  v1::GetTrustResponse there;
  ASSERT_TRUE(Trust(two_, there).ok());
  EXPECT_EQ(there.fails(), 1u);

  // The leader dies without a word; clients go on with the same bytes.
  uint64_t next = last + 2;
  for (; next < last + 5; ++next) {
    EXPECT_EQ(Submit({&one_, &two_}, Notice()), next);
  }
  one_.Kill();
  for (; next < last + 8; ++next) {
    EXPECT_EQ(Submit(two_, Notice()), next);
  }
  ASSERT_TRUE(AwaitWitnessed(two_, next));
  one_.Start();
  ASSERT_TRUE(AwaitWitnessed(one_, next));
  EXPECT_EQ(Submit({&one_, &two_}, Notice()), next);
  EXPECT_THAT(one_.log(), Not(HasSubstr("not serving")));

  // What is in etcd, over TLS, audited without any of its nodes.
  ASSERT_TRUE(AwaitWitnessed(two_, next + 1));
  const CertificateFiles client = pki_.IssueClient("node", "spiffe://t/node");
  cli::VerifierArgs where;
  where.address = fmt::format("127.0.0.1:{}", port);
  where.certificate = client.certificate;
  where.private_key = client.private_key;
  where.authority = pki_.ca();
  EXPECT_THAT(ExportAndAudit(where, two_.dir().path() / "export", policy),
              HasSubstr(fmt::format("{0} of {0} records are good", next + 1)));
}

class LedgerWitnesses : public LedgerNodes {
 protected:
  static constexpr char kOther[] = "ledger.example/other";

  // Each trusts what the other cosigns, at its address.
  std::string WitnessYaml(LedgerNodeProcess& node,
                          const LedgerNodeProcess& other, uint16_t port) {
    std::istringstream key(PolicyLines(other, "witness node-0"));
    std::string word;
    std::string vkey;
    key >> word >> word >> vkey;
    const fs::path policy = node.dir().Write(
        "policy",
        fmt::format("{}{}witness other {} 127.0.0.1:{}\nquorum other\n",
                    PolicyLines(node, "log "), PolicyLines(other, "log "), vkey,
                    port));
    const CertificateFiles client = pki_.IssueClient("node", "spiffe://t/node");
    return fmt::format(
        "  policy: {}\n"
        "  witness_tls: {{certificate: {}, private_key: {}, ca: {}}}\n",
        policy.string(), client.certificate.string(),
        client.private_key.string(), pki_.ca().string());
  }
  void SaveState(const std::string& name) {
    fs::copy(one_.state(), one_.dir().path() / name,
             fs::copy_options::recursive);
  }
  void RestoreState(const std::string& name) {
    fs::remove_all(one_.state());
    fs::rename(one_.dir().path() / name, one_.state());
  }

  const uint16_t port_one_ = UnusedPort();
  const uint16_t port_two_ = UnusedPort();
  LedgerNodeProcess one_;
  LedgerNodeProcess two_;
};

TEST_F(LedgerWitnesses, CosignEachOtherAndConvictANodeThatTellsTwoStories) {
  const std::string listen_one = Listen(port_one_);
  const std::string listen_two = Listen(port_two_);
  Configure(one_, LedgerRig::kOrigin, listen_one, "");
  Configure(two_, kOther, listen_two, "");
  MakeKeys(one_);
  MakeKeys(two_);
  Configure(one_, LedgerRig::kOrigin, listen_one,
            WitnessYaml(one_, two_, port_two_));
  Configure(two_, kOther, listen_two, WitnessYaml(two_, one_, port_one_));

  // Without the other there is no quorum, and the node says so.
  one_.Start();
  Submit(one_, rig_.Authorise("h1"));
  Submit(one_, rig_.Register(1));
  Submit(one_, rig_.Launch("h1", 1));
  v1::GetCheckpointResponse alone;
  for (const MonotonicTime until = Limit();
       alone.problems().empty() && std::chrono::steady_clock::now() < until;) {
    alone = Checkpoint(one_);
  }
  EXPECT_EQ(alone.witnessed(), 0u);
  ASSERT_THAT(alone.problems(), Not(IsEmpty()));
  EXPECT_THAT(alone.problems(0), HasSubstr("other"));
  constexpr char kAlarm[] = "a witness of the ledger did not cosign";
  for (const MonotonicTime until = Limit();
       one_.log().find(kAlarm) == std::string::npos &&
       std::chrono::steady_clock::now() < until;) {
    (void)Checkpoint(one_);
  }
  EXPECT_THAT(one_.log(), HasSubstr(kAlarm));

  two_.Start();
  ASSERT_TRUE(AwaitWitnessed(one_, 3)) << one_.log() << two_.log();
  const tlog::WitnessPolicy policy =
      *tlog::WitnessPolicy::Parse(Slurp(one_.dir().path() / "policy"));
  EXPECT_THAT(tlog::OpenCheckpoint(Checkpoint(one_).checkpoint(), policy),
              IsOk());
  v1::GetTrustResponse trust;
  ASSERT_TRUE(Trust(one_, trust).ok());
  EXPECT_FALSE(trust.unwitnessed_ledger());

  // Its whole disk goes back, keys and memory with it, and it says otherwise.
  one_.Kill();
  SaveState("before");
  one_.Start();
  const Bytes another_story = rig_.Result("h1", 1, true);
  Submit(one_, rig_.Result("h1", 1, false));
  ASSERT_TRUE(AwaitWitnessed(one_, 4));
  one_.Kill();
  RestoreState("before");
  one_.Start();
  // Two sizes are no proof yet. The node believes nothing of itself, and keeps
  // what the witness has from it.
  const fs::path ahead = one_.state() / "ledger-ahead.checkpoint";
  for (const MonotonicTime until = Limit();
       !fs::exists(ahead) && std::chrono::steady_clock::now() < until;) {
    (void)Checkpoint(one_);
  }
  EXPECT_EQ(Trust(one_, trust).error_code(), grpc::StatusCode::DATA_LOSS);
  v1::SubmitResponse response;
  EXPECT_EQ(TrySubmit(one_, another_story, response).error_code(),
            grpc::StatusCode::DATA_LOSS);
  EXPECT_THAT(one_.log(), HasSubstr("the ledger was rolled back"));
  EXPECT_THAT(Slurp(ahead),
              HasSubstr(fmt::format("{}\n4\n", LedgerRig::kOrigin)));

  // A restart forgets nothing of that, though no witness is there to tell.
  two_.Kill();
  one_.Kill();
  one_.Start();
  EXPECT_EQ(Trust(one_, trust).error_code(), grpc::StatusCode::DATA_LOSS);
  EXPECT_EQ(TrySubmit(one_, another_story, response).error_code(),
            grpc::StatusCode::DATA_LOSS);
  one_.Kill();

  // Who has the disk removes the note, too. It grows past what was signed
  // while no witness looks: that is a proof. Until one does, it gives no trust.
  fs::remove(ahead);
  one_.Start();
  Submit(one_, another_story);
  EXPECT_EQ(Trust(one_, trust).error_code(), grpc::StatusCode::UNAVAILABLE);
  Submit(one_, Notice());
  two_.Start();
  for (const MonotonicTime until = Limit();
       Checkpoint(one_).fork_proof().empty() &&
       std::chrono::steady_clock::now() < until;) {
  }
  const std::string proof = Checkpoint(one_).fork_proof();
  ASSERT_FALSE(proof.empty()) << one_.log();
  const fs::path file = one_.dir().Write("proof", proof);
  std::ostringstream out;
  EXPECT_EQ(
      cli::RunLedgerCheckProof(
          {.file = file, .policy = one_.dir().path() / "policy"}, out, out),
      0)
      << out.str();
  EXPECT_THAT(out.str(), HasSubstr("told two stories of 4 records"));

  // Nobody is told to trust by it any more, also after a restart.
  EXPECT_EQ(Trust(one_, trust).error_code(), grpc::StatusCode::DATA_LOSS);
  EXPECT_EQ(TrySubmit(one_, Notice(), response).error_code(),
            grpc::StatusCode::DATA_LOSS);
  for (const MonotonicTime until = Limit();
       !fs::exists(one_.state() / "ledger-fork.proof") &&
       std::chrono::steady_clock::now() < until;) {
    (void)Checkpoint(one_);
  }
  one_.Kill();
  one_.Start();
  EXPECT_EQ(Trust(one_, trust).error_code(), grpc::StatusCode::DATA_LOSS);
  EXPECT_THAT(one_.log(), HasSubstr("the ledger was forked"));
  EXPECT_EQ(Slurp(one_.state() / "ledger-fork.proof"), proof);
}

// A host, whose ledger is elsewhere, as that ledger's witness.
class HostWitness : public LedgerNodes {
 protected:
  HostWitness() {
    Configure(node_, LedgerRig::kOrigin, Listen(node_port_), "");
    MakeKeys(node_);
    client_ = pki_.IssueClient("node", "spiffe://t/node");
    host_ = std::make_unique<DaemonProcess>(DaemonProcess::Options{
        .libvirt_uri = "test:///default",
        .tcti = "swtpm:path=/no/such/socket",
        .more = fmt::format(
            "ledger:\n  mode: remote\n  origin: \"{}\"\n"
            "  nodes: [\"127.0.0.1:{}\"]\n"
            "  tls: {{certificate: {}, private_key: {}, ca: {}}}\n",
            LedgerRig::kOrigin, node_port_, client_.certificate.string(),
            client_.private_key.string(), pki_.ca().string())});
  }
  // With the node's own policy, which names its log.
  void MakeWitness() {
    fs::create_directories(host_->folder() / "conf.d");
    std::ofstream(host_->folder() / "conf.d/witness.yaml")
        << "listen:\n"
        << Listen(host_port_)
        << fmt::format("ledger: {{policy: {}}}\n",
                       (node_.state() / "ledger.policy").string());
    EXPECT_EQ(host_->Stop(), 0);
    host_->Start();
  }
  // The node asks for the host's cosignature.
  void AskHost() {
    std::istringstream keys(Slurp(Kept("ledger-witness.policy")));
    std::string policy = PolicyLines(node_, "log ");
    std::string quorum;
    for (std::string line; std::getline(keys, line);) {
      std::istringstream words(line);
      std::string word;
      std::string name;
      words >> word >> name;
      if (word == "witness") {
        policy += fmt::format("{} 127.0.0.1:{}\n", line, host_port_);
        quorum = name;
      }
    }
    policy_ = node_.dir().Write("policy",
                                policy + fmt::format("quorum {}\n", quorum));
    Configure(
        node_, LedgerRig::kOrigin, Listen(node_port_),
        fmt::format(
            "  policy: {}\n"
            "  witness_tls: {{certificate: {}, private_key: {}, ca: {}}}\n",
            policy_.string(), client_.certificate.string(),
            client_.private_key.string(), pki_.ca().string()));
  }
  [[nodiscard]] fs::path Kept(const std::string& name) const {
    return host_->folder() / "state/ledger" / name;
  }

  const uint16_t node_port_ = UnusedPort();
  const uint16_t host_port_ = UnusedPort();
  LedgerNodeProcess node_;
  CertificateFiles client_;
  std::unique_ptr<DaemonProcess> host_;
  fs::path policy_;
};

TEST_F(HostWitness, MakesAQuorumWhileItIsThereAndProvesAFork) {
  const Ran none =
      host_->Vmattest({"call", "vmattest.v1.Ledger/AddCheckpoint", "{}"});
  EXPECT_NE(none.exit_code, 0);
  EXPECT_THAT(none.err, HasSubstr("this host is no witness"));
  EXPECT_FALSE(fs::exists(Kept("ledger-witness.policy")));
  MakeWitness();
  AskHost();
  node_.Start();
  Submit(node_, rig_.Authorise("h1"));
  Submit(node_, rig_.Register(1));
  ASSERT_TRUE(AwaitWitnessed(node_, 2)) << node_.log() << host_->log();
  const tlog::WitnessPolicy policy =
      *tlog::WitnessPolicy::Parse(Slurp(policy_));
  EXPECT_THAT(tlog::OpenCheckpoint(Checkpoint(node_).checkpoint(), policy),
              IsOk());
  v1::GetTrustResponse trust;
  ASSERT_TRUE(Trust(node_, trust).ok());
  EXPECT_FALSE(trust.unwitnessed_ledger());

  ASSERT_EQ(host_->Stop(), 0);
  const uint64_t third = Submit(node_, rig_.Launch("h1", 1));
  v1::GetCheckpointResponse alone;
  for (const MonotonicTime until = Limit();
       alone.problems().empty() && std::chrono::steady_clock::now() < until;) {
    alone = Checkpoint(node_);
  }
  ASSERT_THAT(alone.problems(), Not(IsEmpty()));
  EXPECT_EQ(alone.committed(), third + 1);
  EXPECT_EQ(alone.witnessed(), 2u);
  // It knows yet what it cosigned.
  host_->Start();
  ASSERT_TRUE(AwaitWitnessed(node_, 3)) << node_.log() << host_->log();

  // The node's disk goes back, and tells another story while nobody looks.
  node_.Kill();
  const fs::path before = node_.dir().path() / "before";
  fs::copy(node_.state(), before, fs::copy_options::recursive);
  node_.Start();
  const Bytes another_story = rig_.Result("h1", 1, true);
  Submit(node_, rig_.Result("h1", 1, false));
  ASSERT_TRUE(AwaitWitnessed(node_, 4));
  node_.Kill();
  ASSERT_EQ(host_->Stop(), 0);
  fs::remove_all(node_.state());
  fs::rename(before, node_.state());
  node_.Start();
  Submit(node_, another_story);
  host_->Start();
  const fs::path proof = Kept("ledger-fork.proof");
  ASSERT_TRUE(Eventually([&] { return fs::exists(proof); })) << host_->log();
  node_.Kill();
  std::ostringstream out;
  EXPECT_EQ(cli::RunLedgerCheckProof(
                {.file = proof.string(), .policy = policy_.string()}, out, out),
            0)
      << out.str();
  EXPECT_THAT(out.str(), HasSubstr("told two stories of 4 records"));
  const auto says_so = [this] {
    host_->Signal(SIGHUP);
    return host_->Vmattest({"status"}).out.find("was forked") !=
           std::string::npos;
  };
  EXPECT_TRUE(Eventually(says_so)) << host_->Vmattest({"status"}).out;
  ASSERT_EQ(host_->Stop(), 0);
  host_->Start();
  EXPECT_TRUE(Eventually(says_so)) << host_->Vmattest({"status"}).out;
}

}  // namespace
}  // namespace vmattest::testing
