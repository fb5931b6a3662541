#include "evidence/tpm_structures.h"
#include "fmt/format.h"
#include "tpm/esys/esys_connection.h"
#include "tpm/esys/esys_log.h"

// The host event log's registers. Extending and counting must not happen
// twice: after a connection was lost the TPM itself is asked what it did.

namespace vmattest::tpm {
namespace {

constexpr size_t kDigestSize = 32;

}  // namespace

// Only a host that never had an anchor gets one here: one that is gone says
// that the log was tampered with, and WriteLogAnchor() makes the next.
absl::Status EsysHostTpm::LoadAnchor(Connection& connection) {
  EsysContext& context = *connection.context;
  EsysSession& session = *connection.session;
  const NvSpec anchor = LogAnchorSpec(options_.log_index);
  ASSIGN_OR_RETURN(const Bytes expected, WrittenPublic(anchor));
  if (!connection.pin.log_index.empty()) {
    if (connection.pin.log_index != expected) {
      return absl::FailedPreconditionError(
          fmt::format("the event log's anchor is pinned at another NV index "
                      "than {:#x}: set it back, or enrol the host again",
                      options_.log_index));
    }
    return absl::OkStatus();
  }
  for (const NvSpec& spec : {anchor, BootCounterSpec(options_.counter_index)}) {
    ASSIGN_OR_RETURN(const auto found,
                     FindNv(context, session, spec, options_.key_auth));
    if (!found) {
      RETURN_IF_ERROR(
          DefineNv(context, session, spec, Authorizations()).status());
    }
  }
  connection.pin.log_index = expected;
  return absl::OkStatus();
}

absl::StatusOr<Bytes> EsysHostTpm::ReadLogPcr(Connection& connection) const {
  ASSIGN_OR_RETURN(PcrValues values,
                   ReadPcrs(*connection.context, *connection.session,
                            {options_.pcr_bank, {options_.log_pcr}}));
  return std::move(values.values[options_.log_pcr]);
}

absl::StatusOr<LogRegisters> EsysHostTpm::ReadLogRegisters() {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(CheckProvisioned());
  LogRegisters registers;
  const absl::Status ran = Run([&](Connection& connection) -> absl::Status {
    EsysContext& context = *connection.context;
    EsysSession& session = *connection.session;
    registers = {};
    ASSIGN_OR_RETURN(registers.clock, ReadTpmClock(context, session));
    ASSIGN_OR_RETURN(registers.pcr, ReadLogPcr(connection));
    ASSIGN_OR_RETURN(connection.anchor,
                     FindNv(context, session, LogAnchorSpec(options_.log_index),
                            options_.key_auth));
    if (connection.anchor && !connection.anchor->written) {
      registers.anchor = LogRegisters::Anchor::kUnwritten;
    } else if (connection.anchor) {
      ASSIGN_OR_RETURN(LogAnchor anchor,
                       ReadAnchor(context, session, *connection.anchor));
      registers.anchor = LogRegisters::Anchor::kWritten;
      registers.size = anchor.size;
      registers.head = std::move(anchor.head);
    }
    ASSIGN_OR_RETURN(
        const auto boots,
        FindNv(context, session, BootCounterSpec(options_.counter_index),
               options_.key_auth));
    if (boots && boots->written) {
      ASSIGN_OR_RETURN(registers.boot_count,
                       ReadCounter(context, session, *boots));
    }
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(ran);
  RETURN_IF_ERROR(NoteClock(registers.clock));
  log_reset_count_ = registers.clock.reset_count;
  log_pcr_ = registers.pcr;
  return registers;
}

absl::Status EsysHostTpm::ExtendLog(ByteView digest) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(CheckProvisioned());
  RETURN_IF_ERROR(Extended(options_.pcr_bank, {}, digest).status());
  const std::optional<uint32_t> boot = log_reset_count_;
  Bytes before = std::exchange(log_pcr_, {});
  Bytes after;
  bool sent = false;
  const absl::Status ran = Run([&](Connection& connection) -> absl::Status {
    if (connection.reset_count != boot.value_or(connection.reset_count)) {
      return absl::UnavailableError(
          "the TPM was reset since its log registers were read: the log PCR "
          "begins anew");
    }
    if (sent || before.empty()) {
      ASSIGN_OR_RETURN(Bytes now, ReadLogPcr(connection));
      if (sent && now == after) {
        return absl::OkStatus();
      }
      before = std::move(now);
    }
    ASSIGN_OR_RETURN(after, Extended(options_.pcr_bank, before, digest));
    sent = true;
    return ExtendPcr(*connection.context, *connection.session, options_.log_pcr,
                     options_.pcr_bank, digest);
  });
  RETURN_IF_ERROR(ran);
  log_pcr_ = std::move(after);
  return absl::OkStatus();
}

absl::Status EsysHostTpm::WriteLogAnchor(uint64_t size, ByteView head) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(CheckProvisioned());
  if (head.size() != kDigestSize) {
    return absl::InvalidArgumentError(
        fmt::format("a log head of {} bytes", head.size()));
  }
  const NvSpec spec = LogAnchorSpec(options_.log_index);
  return Run([&](Connection& connection) -> absl::Status {
    EsysContext& context = *connection.context;
    EsysSession& session = *connection.session;
    if (!connection.anchor) {
      ASSIGN_OR_RETURN(connection.anchor,
                       FindNv(context, session, spec, options_.key_auth));
    }
    if (!connection.anchor) {
      ASSIGN_OR_RETURN(connection.anchor,
                       DefineNv(context, session, spec, Authorizations()));
    }
    RETURN_IF_ERROR(WriteAnchor(context, session, *connection.anchor,
                                {size, ToBytes(head)}));
    connection.anchor->written = true;
    return absl::OkStatus();
  });
}

absl::StatusOr<uint64_t> EsysHostTpm::CountBoot() {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(CheckProvisioned());
  const NvSpec spec = BootCounterSpec(options_.counter_index);
  uint64_t count = 0;
  std::optional<uint64_t> before;
  const absl::Status ran = Run([&](Connection& connection) -> absl::Status {
    EsysContext& context = *connection.context;
    EsysSession& session = *connection.session;
    ASSIGN_OR_RETURN(auto index,
                     FindNv(context, session, spec, options_.key_auth));
    if (!index) {
      ASSIGN_OR_RETURN(index,
                       DefineNv(context, session, spec, Authorizations()));
    }
    count = 0;
    if (index->written) {
      ASSIGN_OR_RETURN(count, ReadCounter(context, session, *index));
    }
    if (before && count > *before) {
      return absl::OkStatus();
    }
    before = count;
    RETURN_IF_ERROR(IncrementNv(context, session, *index));
    ASSIGN_OR_RETURN(count, ReadCounter(context, session, *index));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(ran);
  return count;
}

absl::StatusOr<evidence::AnchorCertification> EsysHostTpm::CertifyLogAnchor(
    ByteView qualifying_data) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(CheckProvisioned());
  if (qualifying_data.size() != kDigestSize) {
    return absl::InvalidArgumentError(
        fmt::format("qualifying data of {} bytes", qualifying_data.size()));
  }
  const NvSpec spec = LogAnchorSpec(options_.log_index);
  evidence::AnchorCertification made;
  const absl::Status ran = Run([&](Connection& connection) -> absl::Status {
    if (!connection.anchor) {
      ASSIGN_OR_RETURN(connection.anchor,
                       FindNv(*connection.context, *connection.session, spec,
                              options_.key_auth));
    }
    if (!connection.anchor || !connection.anchor->written) {
      return absl::FailedPreconditionError(
          fmt::format("the event log's anchor at {:#x} {}", options_.log_index,
                      connection.anchor ? "was never written" : "is gone"));
    }
    ASSIGN_OR_RETURN(
        made,
        CertifyAnchor(*connection.context, *connection.session, connection.ak,
                      spec, *connection.anchor, qualifying_data));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(ran);
  return made;
}

}  // namespace vmattest::tpm
