#ifndef VMATTEST_TESTS_SUPPORT_SIGNER_LOOP_H_
#define VMATTEST_TESTS_SUPPORT_SIGNER_LOOP_H_

#include <atomic>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "signing/local_signer.h"
#include "signing/remote/remote_signer.h"
#include "signing/remote/signer_codec.h"
#include "signing/remote/signer_server.h"

namespace vmattest::testing {

// What vmattest-signer does, on a thread of this process: the connector gives a
// RemoteSigner a LocalSigner at the other end of a real channel. Must outlive
// the RemoteSigner; so must `tpm` and `clock`.
class SignerLoop {
 public:
  SignerLoop(tpm::HostTpm& tpm, const Clock& clock,
             signing::LocalSigner::Options options)
      : tpm_(tpm), clock_(clock), options_(std::move(options)) {}
  ~SignerLoop() {
    const MutexLock lock(mutex_);
    for (std::thread& thread : threads_) {
      thread.join();
    }
  }
  signing::SignerConnector Connector() {
    return [this]() -> absl::StatusOr<signing::SignerLink> {
      ASSIGN_OR_RETURN(auto ends, ipc::Channel::MakePair());
      auto end = std::make_shared<ipc::Channel>(std::move(ends.second),
                                                signing::kMaxSignerMessage);
      {
        const MutexLock lock(mutex_);
        threads_.emplace_back([this, end] { Serve(*end); });
      }
      signing::SignerLink link;
      link.channel = std::make_shared<ipc::Channel>(std::move(ends.first),
                                                    signing::kMaxSignerMessage);
      return link;
    };
  }

 private:
  void Serve(ipc::Channel& channel) {
    std::atomic<signing::SignerServer*> server = nullptr;
    signing::LocalSigner::Options options = options_;
    options.work.on_state = [&server](const signing::SignerState&) {
      if (signing::SignerServer* told = server.load(); told != nullptr) {
        told->StateChanged();
      }
    };
    signing::LocalSigner local(tpm_, clock_, std::move(options));
    {
      signing::SignerServer serving(channel, local, [&local] { local.Stop(); });
      server = &serving;
      serving.StateChanged();
      (void)serving.Serve();
      local.Stop();
      server = nullptr;
    }
    channel.Close();
  }

  tpm::HostTpm& tpm_;
  const Clock& clock_;
  const signing::LocalSigner::Options options_;
  Mutex mutex_;
  std::vector<std::thread> threads_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_SIGNER_LOOP_H_
