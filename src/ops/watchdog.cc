#include "ops/watchdog.h"

#include <utility>

namespace vmattest::ops {

Watchdog::Watchdog(const ServiceManager& manager, std::vector<Subject> subjects)
    : manager_(manager) {
  for (Subject& subject : subjects) {
    Watched watched;
    watched.last_progress = subject.progress ? subject.progress() : 0;
    watched.answered = std::make_shared<std::atomic<bool>>(false);
    watched.subject = std::move(subject);
    watched_.push_back(std::move(watched));
  }
}

std::vector<std::string> Watchdog::Tick() {
  std::vector<std::string> still;
  for (Watched& watched : watched_) {
    Observe(watched);
    if (!watched.moved) {
      still.push_back(watched.subject.name);
    }
  }
  if (still.empty()) {
    manager_.KickWatchdog();
    for (Watched& watched : watched_) {
      watched.moved = false;
    }
  }
  return still;
}

void Watchdog::Observe(Watched& watched) {
  if (watched.asked && watched.answered->load()) {
    watched.moved = true;
    watched.asked = false;
  }
  if (watched.subject.progress) {
    const uint64_t progress = watched.subject.progress();
    watched.moved = watched.moved || progress != watched.last_progress;
    watched.last_progress = progress;
  }
  if (!watched.asked) {
    watched.answered->store(false);
    watched.asked =
        watched.subject.executor
            ->Submit([answered = watched.answered] { answered->store(true); })
            .ok();
  }
}

}  // namespace vmattest::ops
