#ifndef VMATTEST_TESTS_SUPPORT_TPM_PROXY_H_
#define VMATTEST_TESTS_SUPPORT_TPM_PROXY_H_

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <thread>

#include "base/bytes.h"
#include "base/handles.h"
#include "base/mutex.h"
#include "support/temp_dir.h"

namespace vmattest::testing {

// TPM_CC of the commands that tests meddle with (TPM 2.0 Library, Part 2, 6.5).
inline constexpr uint32_t kTpmCcEvictControl = 0x120;
inline constexpr uint32_t kTpmCcCreatePrimary = 0x131;
inline constexpr uint32_t kTpmCcCertify = 0x148;
inline constexpr uint32_t kTpmCcQuote = 0x158;
inline constexpr uint32_t kTpmCcReadPublic = 0x173;
inline constexpr uint32_t kTpmCcStartAuthSession = 0x176;
inline constexpr uint32_t kTpmCcPcrRead = 0x17E;
inline constexpr uint32_t kTpmCcReadClock = 0x181;

// A man in the middle before a software TPM: sees every command and response,
// and answers, alters, delays or withholds as told. Serves its clients one
// command at a time. What it is told holds from the next command on. Callable
// from any thread.
class TpmProxy {
 public:
  // `tpm_socket`: of a Swtpm, which may come and go.
  explicit TpmProxy(std::filesystem::path tpm_socket);
  TpmProxy(const TpmProxy&) = delete;
  TpmProxy& operator=(const TpmProxy&) = delete;
  ~TpmProxy();

  [[nodiscard]] std::string tcti() const;
  [[nodiscard]] const std::filesystem::path& socket() const { return socket_; }

  // Everything that went either way, concatenated.
  [[nodiscard]] Bytes Recorded() const EXCLUDES_LOCK(mutex_);
  // How many commands of that code were seen.
  [[nodiscard]] int Count(uint32_t command_code) const EXCLUDES_LOCK(mutex_);

  using Meddler = std::function<void(Bytes&)>;
  // Replaces the command before the TPM sees it.
  void AlterCommand(uint32_t command_code, Meddler meddler)
      EXCLUDES_LOCK(mutex_);
  // Replaces the response before the client sees it.
  void AlterAnswer(uint32_t command_code, Meddler meddler)
      EXCLUDES_LOCK(mutex_);
  // The response is made here; the TPM sees nothing.
  using Impostor = std::function<Bytes(ByteView command)>;
  void AnswerInstead(uint32_t command_code, Impostor impostor)
      EXCLUDES_LOCK(mutex_);
  // A slow TPM.
  void DelayAnswer(uint32_t command_code, std::chrono::milliseconds delay)
      EXCLUDES_LOCK(mutex_);
  // The connection stays open and nothing comes, or half a response does.
  void WithholdAnswer(uint32_t command_code, size_t bytes_to_send = 0)
      EXCLUDES_LOCK(mutex_);
  // Forgets all of the above but the record.
  void Behave() EXCLUDES_LOCK(mutex_);

 private:
  struct Rule {
    Meddler command;
    Meddler answer;
    Impostor impostor;
    std::chrono::milliseconds delay{0};
    bool withhold = false;
    size_t bytes_to_send = 0;
  };
  void Run();
  // False: the client is to be left without an answer.
  bool Serve(int client) EXCLUDES_LOCK(mutex_);
  void Record(ByteView bytes) EXCLUDES_LOCK(mutex_);

  TempDir dir_;
  const std::filesystem::path tpm_socket_;
  const std::filesystem::path socket_;
  UniqueFd listener_;
  UniqueFd stop_read_;
  UniqueFd stop_write_;
  mutable Mutex mutex_;
  std::map<uint32_t, Rule> rules_ GUARDED_BY(mutex_);
  std::map<uint32_t, int> counts_ GUARDED_BY(mutex_);
  Bytes recorded_ GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_TPM_PROXY_H_
