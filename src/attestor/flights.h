#ifndef VMATTEST_ATTESTOR_FLIGHTS_H_
#define VMATTEST_ATTESTOR_FLIGHTS_H_

#include <compare>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "attestor/attestor.h"
#include "attestor/observe.h"
#include "base/mutex.h"

namespace vmattest::attestor {

// The requests under way. One flight is one measurement and the requests that
// share it.
class Attestor::Flights {
 public:
  Flights(Parts parts, Options options, StatementSealer& statements)
      : parts_(parts), options_(std::move(options)), statements_(statements) {}
  // Waits until nothing is under way.
  ~Flights();

  using MeasureDone =
      std::function<void(absl::StatusOr<measurement::DomainMeasurement>)>;
  using AttestDone = std::function<void(absl::StatusOr<Bytes>)>;
  void Measure(ConfigRequest request, MeasureDone done);
  void Attest(ConfigRequest request, AttestDone done);

 private:
  struct Job {
    ConfigRequest request;
    std::string clause;
    MeasureDone measure_done;  // one of the two
    AttestDone attest_done;
    TpmClock measured_at;
  };
  using JobPtr = std::shared_ptr<Job>;
  // Requests that one measurement can answer.
  struct Key {
    std::string vm;
    HashAlgorithm algorithm = HashAlgorithm::kSha256;
    measurement::ContentPolicy content = measurement::ContentPolicy::kChain;
    inspection::InsidePolicy inside = inspection::InsidePolicy::kNone;
    bool fresh = false;
    friend auto operator<=>(const Key&, const Key&) = default;
  };
  struct Measured {
    SeenVm seen;
    measurement::DomainMeasurement measurement;
    std::shared_ptr<const SecretBytes> vm_salt;  // null: public leaves
  };
  using MeasuredPtr = std::shared_ptr<const Measured>;
  // What has its signatures and is not encoded yet.
  struct Sealed {
    JobPtr job;
    MeasuredPtr measured;
    SealedStatement statement;
  };

  bool Admit(const JobPtr& job);
  void Board(const JobPtr& job);
  void Fly(const Key& key);
  absl::StatusOr<Measured> MeasureFor(const Key& key,
                                      const std::vector<JobPtr>& jobs);
  void RecordIfComparable(
      const Key& key, const SeenVm& seen, uint64_t begun,
      const absl::StatusOr<measurement::DomainMeasurement>& measured);
  // The rest of ConfigRequest::omit_leaves is Encode()'s.
  static absl::Status MayDisclose(const Job& job, const Measured& measured);
  static measurement::DomainMeasurement ForCaller(const Job& job,
                                                  const Measured& measured);
  void Seal(const JobPtr& job, const MeasuredPtr& measured);
  void TakeSealed(Sealed sealed);
  void EncodeSealed();
  static absl::StatusOr<Bytes> Encode(Sealed& sealed);
  static absl::StatusOr<Bytes> EncodeDisclosure(Sealed& sealed);
  // OK unless the caller gave up or its deadline passed.
  [[nodiscard]] absl::Status StillWanted(const Job& job) const;
  void Fail(const JobPtr& job, const absl::Status& status);
  void Done();

  const Parts parts_;
  const Options options_;
  StatementSealer& statements_;
  Mutex mutex_;
  CondVar idle_;
  size_t pending_ GUARDED_BY(mutex_) = 0;
  std::map<Key, std::vector<JobPtr>> boarding_ GUARDED_BY(mutex_);
  std::vector<Sealed> sealed_ GUARDED_BY(mutex_);
  bool encoding_ GUARDED_BY(mutex_) = false;
};

}  // namespace vmattest::attestor

#endif  // VMATTEST_ATTESTOR_FLIGHTS_H_
