// vmattest-memory-worker, in its sandbox, on memory of this process.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "crypto/digest.h"
#include "gmock/gmock.h"
#include "inspection/worker/worker_pool.h"
#include "memory/worker/worker_measurer.h"
#include "support/matchers.h"

namespace vmattest::memory {
namespace {

using inspection::Worker;
using inspection::WorkerPool;
using inspection::WorkerPoolOptions;
using testing::IsOk;
using testing::StatusIs;

constexpr uint64_t kMiB = uint64_t{1} << 20;

class MemoryWorkerTest : public ::testing::Test {
 protected:
  MemoryWorkerTest()
      : pool_(ForMemory({.program = VMATTEST_MEMORY_WORKER, .user = ""},
                        512 * kMiB)) {}

  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(worker_, pool_.Take({}));
    file_ = UniqueFd(memfd_create("guest", MFD_CLOEXEC));
    ASSERT_EQ(ftruncate(file_.get(), 4 * kMiB), 0);
    ram_ = static_cast<uint8_t*>(mmap(nullptr, 4 * kMiB, PROT_READ | PROT_WRITE,
                                      MAP_SHARED, file_.get(), 0));
    ASSERT_NE(ram_, MAP_FAILED);
    std::memset(ram_ + kMiB, 5, kMiB);
  }
  void TearDown() override { munmap(ram_, 4 * kMiB); }

  absl::Status AttachFile() {
    internal::WorkerRequest request;
    request.mutable_attach_memory()->set_bytes(4 * kMiB);
    request.mutable_attach_memory()->set_mappable(true);
    std::vector<UniqueFd> fds;
    fds.emplace_back(open(
        ("/proc/self/fd/" + std::to_string(file_.get())).c_str(), O_RDONLY));
    return worker_->Call(request, std::move(fds), {}).status();
  }
  absl::Status AttachProcess() {
    internal::WorkerRequest request;
    internal::AttachMemory& attach = *request.mutable_attach_memory();
    attach.set_process(true);
    attach.set_base(reinterpret_cast<uintptr_t>(ram_));
    attach.set_bytes(4 * kMiB);
    std::vector<UniqueFd> fds;
    fds.emplace_back(open("/proc/self/mem", O_RDONLY));
    fds.emplace_back(open("/proc/self/pagemap", O_RDONLY));
    return worker_->Call(request, std::move(fds), {}).status();
  }
  static internal::WorkerRequest Plan(HashAlgorithm algorithm,
                                      bool incremental = false) {
    internal::WorkerRequest request;
    internal::MeasureMemory& measure = *request.mutable_measure_memory();
    internal::GuestSection& section = *measure.add_sections();
    section.mutable_guest()->set_end(4 * kMiB);
    measure.add_regions()->add_ranges()->set_end(4 * kMiB);
    measure.set_algorithm(static_cast<v1::HashAlgorithm>(algorithm));
    measure.set_page_bytes(4096);
    measure.set_threads(2);
    measure.set_incremental(incremental);
    return request;
  }
  absl::StatusOr<std::string> Digests() {
    internal::WorkerRequest request;
    request.mutable_fetch_digests()->set_count(1024);
    ASSIGN_OR_RETURN(const auto reply, worker_->Call(request, {}, {}));
    return reply.digests();
  }
  [[nodiscard]] std::string Expected(HashAlgorithm algorithm) const {
    std::string digests;
    for (size_t i = 0; i < 1024; ++i) {
      digests += AsText(Hash(algorithm, {ram_ + i * 4096, 4096}));
    }
    return digests;
  }

  WorkerPool pool_;
  std::unique_ptr<Worker> worker_;
  UniqueFd file_;
  uint8_t* ram_ = nullptr;
};

TEST_F(MemoryWorkerTest, MeasuresSharedMemoryWithEveryAlgorithm) {
  ASSERT_THAT(AttachFile(), IsOk());
  for (const HashAlgorithm algorithm : kAllHashAlgorithms) {
    ASSERT_OK_AND_ASSIGN(const auto reply,
                         worker_->Call(Plan(algorithm), {}, {}));
    EXPECT_EQ(reply.measured().regions(0).pages(), 1024U);
    EXPECT_EQ(reply.measured().regions(0).present_bytes(), kMiB);
    ASSERT_OK_AND_ASSIGN(const std::string digests, Digests());
    Bytes copy(4 * kMiB);
    ASSERT_EQ(pread(file_.get(), copy.data(), copy.size(), 0),
              static_cast<ssize_t>(copy.size()));
    for (size_t i = 0; i < 1024; ++i) {
      const size_t size = DigestSize(algorithm);
      ASSERT_EQ(digests.substr(i * size, size),
                AsText(Hash(algorithm, {copy.data() + i * 4096, 4096})));
    }
  }
}

TEST_F(MemoryWorkerTest, MeasuresAnotherProcesssMemory) {
  ASSERT_THAT(AttachProcess(), IsOk());
  ASSERT_THAT(worker_->Call(Plan(HashAlgorithm::kSha256), {}, {}).status(),
              IsOk());
  EXPECT_EQ(*Digests(), Expected(HashAlgorithm::kSha256));
}

TEST_F(MemoryWorkerTest, RemembersDigestsBetweenRequests) {
  ASSERT_THAT(AttachFile(), IsOk());
  const auto plan = Plan(HashAlgorithm::kSha256, true);
  ASSERT_THAT(worker_->Call(plan, {}, {}).status(), IsOk());
  ram_[kMiB] = 1;
  ASSERT_OK_AND_ASSIGN(const auto reply, worker_->Call(plan, {}, {}));
  EXPECT_EQ(reply.measured().regions(0).unchanged(), 1023U);
  EXPECT_EQ(*Digests(), Expected(HashAlgorithm::kSha256));
}

TEST_F(MemoryWorkerTest, RefusesWhatCannotBe) {
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  // No block was attached.
  EXPECT_THAT(worker_->Call(Plan(HashAlgorithm::kSha256), {}, {}),
              StatusIs(kInvalid));
  ASSERT_THAT(AttachFile(), IsOk());
  auto plan = Plan(HashAlgorithm::kSha256);
  plan.mutable_measure_memory()->set_page_bytes(100);
  EXPECT_THAT(worker_->Call(plan, {}, {}), StatusIs(kInvalid));
  plan = Plan(static_cast<HashAlgorithm>(77));
  EXPECT_THAT(worker_->Call(plan, {}, {}), StatusIs(kInvalid));
  plan = Plan(HashAlgorithm::kSha256);
  plan.mutable_measure_memory()->mutable_sections(0)->set_block(9);
  EXPECT_THAT(worker_->Call(plan, {}, {}), StatusIs(kInvalid));
  EXPECT_THAT(Digests(), StatusIs(kInvalid));
}

}  // namespace
}  // namespace vmattest::memory
