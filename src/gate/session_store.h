#ifndef VMATTEST_GATE_SESSION_STORE_H_
#define VMATTEST_GATE_SESSION_STORE_H_

#include <filesystem>
#include <map>
#include <string>

#include "base/status.h"
#include "gate/launch_session.h"

namespace vmattest::gate {

// VMs that run and were let in, one file each, so that a daemon that starts
// again goes on watching them. Bound to this boot and to the QEMU process: what
// ended meanwhile is forgotten, and a launch that was under way is not in here
// at all, so it stays unapproved. One thread at a time.
class SessionStore {
 public:
  static constexpr size_t kMaxFile = 64u << 20;
  static constexpr size_t kMaxItems = 200'000;

  // `boot_id` empty: unknown, so nothing is kept.
  SessionStore(std::filesystem::path folder, std::string boot_id,
               std::filesystem::path proc = "/proc");

  // Those whose process still runs; files of others, and what cannot be read,
  // are removed, the latter with a warning.
  std::map<std::string, LaunchSession> Load();
  // FAILED_PRECONDITION: its process or the boot cannot be told from others.
  absl::Status Save(const std::string& vm_uuid, const LaunchSession& session);
  void Erase(const std::string& vm_uuid);

 private:
  const std::filesystem::path folder_;
  const std::string boot_id_;
  const std::filesystem::path proc_;
};

// A file's content and back; a digest over it tells torn and damaged ones.
Bytes EncodeSession(const LaunchSession& session, std::string_view boot_id);
// DATA_LOSS: damaged, of another format, out of bounds. NOT_FOUND: of another
// boot.
absl::StatusOr<LaunchSession> ParseSession(ByteView file,
                                           std::string_view boot_id);

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_SESSION_STORE_H_
