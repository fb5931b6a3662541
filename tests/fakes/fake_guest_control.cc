#include <fcntl.h>
#include <unistd.h>

#include "base/handles.h"
#include "fakes/fake_hypervisor.h"

namespace vmattest::testing {

using hypervisor::DomainState;

absl::StatusOr<bool> FakeHypervisor::TakePause(const Uuid& uuid) {
  const auto pause = pauses_.find(uuid);
  if (pause == pauses_.end()) {
    return absl::NotFoundError("it was not paused");
  }
  const bool stays = pause->second;
  pauses_.erase(pause);
  return stays;
}

absl::StatusOr<bool> FakeHypervisor::BeginPause(const Uuid& uuid) {
  bool ran = false;
  {
    const MutexLock lock(mutex_);
    ASSIGN_OR_RETURN(Entry* const entry, Active(uuid));
    ran = entry->domain.state == DomainState::kRunning;
    if (!ran && entry->domain.state != DomainState::kPaused) {
      return absl::FailedPreconditionError("it does not run");
    }
    if (!pauses_.emplace(uuid, !ran).second) {
      return absl::FailedPreconditionError("it is paused for this");
    }
  }
  RETURN_IF_ERROR(Become(uuid, DomainState::kPaused,
                         hypervisor::LifecycleKind::kSuspended));
  return ran;
}

absl::Status FakeHypervisor::EndPause(const Uuid& uuid) {
  {
    const MutexLock lock(mutex_);
    ASSIGN_OR_RETURN(const bool stays, TakePause(uuid));
    if (stays) {
      return absl::OkStatus();
    }
  }
  return Resume(uuid);
}

absl::Status FakeHypervisor::PeekMemory(const Uuid& uuid, uint64_t address,
                                        std::span<uint8_t> buffer) {
  if (buffer.empty() || buffer.size() > kMaxPeek) {
    return absl::InvalidArgumentError("too much at a time");
  }
  std::function<void(uint64_t address)> hook;
  {
    const MutexLock lock(mutex_);
    hook = on_peek_;
  }
  if (hook) {
    hook(address);
  }
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(Active(uuid).status());
  for (size_t i = 0; i < buffer.size(); ++i) {
    buffer[i] = static_cast<uint8_t>((address + i) >> 12);
  }
  return absl::OkStatus();
}

void FakeHypervisor::OnPeek(std::function<void(uint64_t address)> hook) {
  const MutexLock lock(mutex_);
  on_peek_ = std::move(hook);
}

absl::Status FakeHypervisor::CheckMemoryIsHere(const Uuid& uuid) {
  const MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(const Entry* const entry, Active(uuid));
  return entry->postcopy ? absl::FailedPreconditionError("post-copy: away")
                         : absl::OkStatus();
}

void FakeHypervisor::SetPostcopy(const Uuid& uuid, bool postcopy) {
  const MutexLock lock(mutex_);
  entries_.at(uuid).postcopy = postcopy;
}

absl::StatusOr<std::chrono::microseconds> FakeHypervisor::SaveState(
    const Uuid& uuid, const std::string& pipe) {
  Bytes stream;
  bool ran = false;
  {
    const MutexLock lock(mutex_);
    ASSIGN_OR_RETURN(Entry* const entry, Active(uuid));
    ran = entry->domain.state == DomainState::kRunning;
    if (!pauses_.emplace(uuid, !ran).second) {
      return absl::FailedPreconditionError("it is paused for this");
    }
    aborted_.erase(uuid);
    stream = state_stream_;
  }
  const UniqueFd file(open(pipe.c_str(), O_WRONLY | O_CLOEXEC));
  absl::Status status;
  for (size_t at = 0; status.ok() && at < stream.size();) {
    {
      const MutexLock lock(mutex_);
      if (aborted_.contains(uuid)) {
        status = absl::AbortedError("ended");
        break;
      }
    }
    const ssize_t wrote = write(file.get(), stream.data() + at,
                                std::min<size_t>(512, stream.size() - at));
    status = wrote > 0 ? absl::OkStatus() : absl::AbortedError("no reader");
    at += wrote > 0 ? static_cast<size_t>(wrote) : 0;
  }
  bool stays = false;
  {
    const MutexLock lock(mutex_);
    ASSIGN_OR_RETURN(stays, TakePause(uuid));
  }
  if (ran && !stays) {
    RETURN_IF_ERROR(Resume(uuid));
  }
  RETURN_IF_ERROR(status);
  return std::chrono::microseconds(ran ? 100 : 0);
}

absl::Status FakeHypervisor::AbortSave(const Uuid& uuid) {
  const MutexLock lock(mutex_);
  aborted_.insert(uuid);
  return absl::OkStatus();
}

void FakeHypervisor::AnswerSaveState(Bytes stream) {
  const MutexLock lock(mutex_);
  state_stream_ = std::move(stream);
}

}  // namespace vmattest::testing
