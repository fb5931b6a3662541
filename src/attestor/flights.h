#ifndef VMATTEST_ATTESTOR_FLIGHTS_H_
#define VMATTEST_ATTESTOR_FLIGHTS_H_

#include <atomic>
#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "attestor/attestor.h"
#include "attestor/observe.h"
#include "base/mutex.h"

namespace vmattest::attestor {

// The requests under way. One flight is one measurement and the requests that
// share it.
class Attestor::Flights {
 public:
  Flights(Parts parts, Options options) : parts_(parts), options_(options) {}
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
  using Key =
      std::tuple<std::string, HashAlgorithm, measurement::ContentPolicy, bool>;
  struct Measured {
    SeenVm seen;
    measurement::DomainMeasurement measurement;
  };
  // What waits for its signature.
  struct Sealing {
    JobPtr job;
    std::shared_ptr<const Measured> measured;
    std::string host_id;
    evidence::Envelope envelope;
  };

  bool Admit(const JobPtr& job);
  void Board(const JobPtr& job);
  void Fly(const Key& key);
  absl::StatusOr<Measured> MeasureFor(const Key& key,
                                      const std::vector<JobPtr>& jobs);
  void RecordIfComparable(
      const Key& key, const SeenVm& seen, uint64_t begun,
      const absl::StatusOr<measurement::DomainMeasurement>& measured);
  void Seal(const JobPtr& job, const std::shared_ptr<const Measured>& measured,
            const std::string& host_id);
  void Sealed(std::shared_ptr<Sealing> sealing,
              absl::StatusOr<evidence::TpmQuoteSignature> signature);
  void EncodeSealed();
  absl::StatusOr<Bytes> Encode(Sealing& sealing,
                               const evidence::HostIdentity& identity) const;
  // OK unless the caller gave up or its deadline passed.
  [[nodiscard]] absl::Status StillWanted(const Job& job) const;
  void Fail(const JobPtr& job, const absl::Status& status);
  void Done();

  const Parts parts_;
  const Options options_;
  std::atomic<uint64_t> sequence_ = 0;
  Mutex mutex_;
  CondVar idle_;
  size_t pending_ GUARDED_BY(mutex_) = 0;
  std::map<Key, std::vector<JobPtr>> boarding_ GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<Sealing>> sealed_ GUARDED_BY(mutex_);
  bool encoding_ GUARDED_BY(mutex_) = false;
};

}  // namespace vmattest::attestor

#endif  // VMATTEST_ATTESTOR_FLIGHTS_H_
