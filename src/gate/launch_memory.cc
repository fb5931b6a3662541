// The part of LaunchGate that knows what a VM left behind when it stopped: its
// saved memory (rule S12) and its disks.
#include <algorithm>
#include <utility>

#include "base/log.h"
#include "fmt/format.h"
#include "gate/launch_gate.h"
#include "gate/open_file.h"

namespace vmattest::gate {
namespace {

using reference::GateMode;

std::vector<HandedFile> OfRole(const GateCall& call, std::string_view role) {
  std::vector<HandedFile> files;
  for (const HandedFile& file : call.handed) {
    if (file.role == role && file.file != nullptr) {
      files.push_back(file);
    }
  }
  return files;
}

int DescriptorOf(const std::vector<HandedFile>& files) {
  return files.empty() ? -1 : files.front().file->get();
}

std::string NameOf(const std::optional<reference::Reference>& reference) {
  return reference ? fmt::format("{}@{}", reference->name, reference->revision)
                   : "";
}

Judgement DenyImage(const SavedImages::Found& found) {
  switch (found.outcome) {
    case SavedImages::Found::Outcome::kUsed:
      return Deny("gate-image-used",
                  "its saved memory was used before, or the VM ran on since it "
                  "was saved; start it afresh (virsh start --force-boot)");
    case SavedImages::Found::Outcome::kOtherVtpm:
      return Deny("gate-vtpm-state",
                  fmt::format("its vTPM's state is not the one that belongs to "
                              "the saved memory: expected '{}', found '{}'",
                              found.expected, found.found));
    case SavedImages::Found::Outcome::kUnknown:
    case SavedImages::Found::Outcome::kKnown:
      break;
  }
  return Deny("gate-image-unknown",
              fmt::format("its saved memory (SHA-256 {}) is not registered for "
                          "this VM: changed since, another VM's, or saved to a "
                          "file and not registered (vmattest gate "
                          "register-image); start it afresh (virsh start "
                          "--force-boot)",
                          ToHex(found.image.digest)));
}

}  // namespace

void LaunchGate::Ended(const GateCall& call, const std::string& vm_uuid) {
  const std::vector<HandedFile> images = OfRole(call, kSavedImage);
  const std::vector<HandedFile> vtpm = OfRole(call, kVtpmState);
  parts_.images.Stopped(
      {.vm_uuid = vm_uuid,
       .image = images.empty() ? nullptr : images.front().file,
       .vtpm = vtpm.empty() ? nullptr : vtpm.front().file});
  parts_.disks.Stopped(vm_uuid);
}

GateReply LaunchGate::RegisterImage(const GateCall& call,
                                    MonotonicTime deadline) {
  GateReply reply;
  const std::vector<HandedFile> images = OfRole(call, kSavedImage);
  const absl::Status registered =
      images.empty()
          ? absl::InvalidArgumentError("no file came with the call")
          : parts_.images.Register(call.domain, DescriptorOf(images), deadline);
  if (registered.ok()) {
    reply.allowed = true;
    reply.basis = Basis::kNotGated;
  } else {
    Judgement refused =
        DenyFor("gate-image-refused", "registering the image", registered);
    reply.code = std::move(refused.code);
    reply.sentence = std::move(refused.sentence);
  }
  return reply;
}

Judgement LaunchGate::JudgeRestore(const Launch& launch,
                                   LaunchSession& session) {
  if (Runs(launch.uuid)) {
    return Deny("gate-image-used", "it runs already");
  }
  session = session.Anew();
  const std::vector<HandedFile> images = OfRole(launch.call, kSavedImage);
  if (images.empty()) {
    return Deny("gate-image-unknown",
                "the saved memory that it would start from was not found among "
                "libvirt's open files (--bypass-cache hides it); start it "
                "afresh (virsh start --force-boot)");
  }
  const absl::StatusOr<FileIdentity> first = LookAt(DescriptorOf(images));
  for (const HandedFile& other : images) {
    const absl::StatusOr<FileIdentity> identity = LookAt(other.file->get());
    if (!first.ok() || !identity.ok() || *identity != *first) {
      return Deny("gate-image-unknown",
                  "libvirt has several images of this VM open; try again once "
                  "the other operation is over");
    }
  }
  absl::StatusOr<SavedImages::Found> found = parts_.images.Check(
      launch.uuid, DescriptorOf(images),
      DescriptorOf(OfRole(launch.call, kVtpmState)), launch.deadline);
  if (!found.ok()) {
    return DenyFor("gate-image-unknown", "reading its saved memory",
                   found.status());
  }
  if (found->outcome != SavedImages::Found::Outcome::kKnown) {
    return DenyImage(*found);
  }
  if (const std::string now = NameOf(launch.policy.reference);
      found->approved_by.empty() || found->approved_by != now) {
    return Deny("gate-image-approval",
                fmt::format("its saved memory is of a launch that was let in "
                            "by '{}', and now '{}' counts; start it afresh "
                            "(virsh start --force-boot)",
                            found->approved_by.empty() ? "no verdict"
                                                       : found->approved_by,
                            now));
  }
  session.image = std::move(found->image);
  session.image_xml = std::move(found->defined_xml);
  return Allow(Basis::kDeferred);
}

// libvirt has the image open from before `restore` until after `started`, by
// which it has read it; the vCPUs have not run then.
bool LaunchGate::IsImageUnchanged(const Launch& launch,
                                  const LaunchSession& session) const {
  const std::vector<HandedFile> images = OfRole(launch.call, kSavedImage);
  return !images.empty() &&
         std::all_of(
             images.begin(), images.end(), [&](const HandedFile& handed) {
               const FileIdentity& before = session.image->identity;
               const absl::StatusOr<FileIdentity> now =
                   LookAt(handed.file->get());
               if (!now.ok() || *now == before) {
                 return now.ok();
               }
               FileIdentity relabelled = before;
               relabelled.ctime_ns = now->ctime_ns;
               const absl::StatusOr<OpenFileDigest> again =
                   *now == relabelled
                       ? DigestOpen(handed.file->get(),
                                    [this, &launch] {
                                      return parts_.clock.Monotonic() >=
                                             launch.deadline;
                                    })
                       : absl::AbortedError("written to");
               return again.ok() && again->digest == session.image->digest;
             });
}

Judgement LaunchGate::JudgeDisks(const Launch& launch, std::string_view xml,
                                 Judgement judgement) {
  if (!judgement.allowed || !launch.policy.reference ||
      !launch.policy.reference->disk_continuity) {
    return judgement;
  }
  const absl::StatusOr<DiskContinuity::Compared> compared =
      parts_.disks.Compare(launch.uuid, xml, launch.deadline);
  if (!compared.ok()) {
    return DenyFor("gate-disk-continuity", "comparing its disks",
                   compared.status());
  }
  if (!compared->recorded) {
    if (launch.policy.reference->accept_unrecorded_disks) {
      log::Warning("a VM's disks could not be compared",
                   {{"vm", launch.name}, {"why", compared->why}});
      parts_.note("disks-unrecorded", {{"vm_uuid", launch.uuid},
                                       {"why", compared->why.substr(0, 512)}});
      return judgement;
    }
    return Deny("gate-disk-no-record",
                fmt::format("its reference demands its disks as they were at "
                            "its last stop, and {}; start it once with a "
                            "break-glass order, or have "
                            "accept_unrecorded_disks signed",
                            compared->why));
  }
  if (compared->differences.empty()) {
    return judgement;
  }
  const DiskContinuity::Difference& first = compared->differences.front();
  const size_t more = compared->differences.size() - 1;
  return Deny(
      "gate-disk-continuity",
      fmt::format("a disk was changed while the VM was off: {}: expected '{}', "
                  "found '{}'{}",
                  first.leaf, first.expected, first.found,
                  more == 0 ? "" : fmt::format(" (and {} more)", more)));
}

absl::Status LaunchGate::Launched(const Launch& launch,
                                  const LaunchSession& session,
                                  const GateReply& reply) {
  const bool verdict =
      reply.basis == Basis::kVerdict || reply.basis == Basis::kKeptVerdict;
  RETURN_IF_ERROR(
      parts_.images.Launched(launch.uuid, session.prepare_xml,
                             verdict ? NameOf(launch.policy.reference) : ""));
  if (session.image && reply.allowed) {
    parts_.note("saved-image-used", {{"vm_uuid", launch.uuid},
                                     {"sha256", ToHex(session.image->digest)}});
  }
  const auto& reference = launch.policy.reference;
  return reference && reference->disk_continuity
             ? parts_.disks.Launched(launch.uuid, session.prepare_xml,
                                     reference->algorithm)
             : parts_.disks.LaunchedWithout(launch.uuid);
}

}  // namespace vmattest::gate
