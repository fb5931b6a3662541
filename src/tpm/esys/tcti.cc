#include "tpm/esys/tcti.h"

#include <tss2/tss2_rc.h>
#include <tss2/tss2_tcti.h>
#include <tss2/tss2_tctildr.h>

#include "fmt/format.h"
#include "tpm/esys/swtpm_tcti.h"

namespace vmattest::tpm {
namespace {

constexpr std::string_view kSwtpmPath = "swtpm:path=";

class LoadedTcti final : public Tcti {
 public:
  LoadedTcti(TSS2_TCTI_CONTEXT* context, std::string configuration,
             std::chrono::milliseconds timeout)
      : context_(context),
        configuration_(std::move(configuration)),
        timeout_(timeout) {}
  LoadedTcti(const LoadedTcti&) = delete;
  LoadedTcti& operator=(const LoadedTcti&) = delete;
  ~LoadedTcti() override { Tss2_TctiLdr_Finalize(&context_); }

  absl::Status Transmit(ByteView command) override {
    return ToStatus(
        Tss2_Tcti_Transmit(context_, command.size(), command.data()));
  }

  absl::StatusOr<Bytes> Receive() override {
    Bytes response(kMaxTpmMessage);
    size_t size = response.size();
    const TSS2_RC code =
        Tss2_Tcti_Receive(context_, &size, response.data(),
                          static_cast<int32_t>(timeout_.count()));
    RETURN_IF_ERROR(ToStatus(code));
    response.resize(size);
    return response;
  }

  [[nodiscard]] bool managed() const override {
    return configuration_.find("tpmrm") != std::string::npos ||
           configuration_.find("tabrmd") != std::string::npos;
  }

 private:
  [[nodiscard]] absl::Status ToStatus(TSS2_RC code) const {
    if (code == TSS2_RC_SUCCESS) {
      return absl::OkStatus();
    }
    if (code == TSS2_TCTI_RC_TRY_AGAIN) {
      return absl::UnavailableError(fmt::format(
          "{}: no answer in {} ms", configuration_, timeout_.count()));
    }
    return absl::UnavailableError(
        fmt::format("{}: {}", configuration_, Tss2_RC_Decode(code)));
  }

  TSS2_TCTI_CONTEXT* context_;
  const std::string configuration_;
  const std::chrono::milliseconds timeout_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Tcti>> OpenTcti(
    const std::string& configuration, std::chrono::milliseconds timeout) {
  if (configuration.empty()) {
    return absl::InvalidArgumentError("empty TCTI string");
  }
  if (configuration.starts_with(kSwtpmPath)) {
    return OpenSwtpmTcti(configuration.substr(kSwtpmPath.size()), timeout);
  }
  TSS2_TCTI_CONTEXT* context = nullptr;
  const TSS2_RC code = Tss2_TctiLdr_Initialize(configuration.c_str(), &context);
  if (code != TSS2_RC_SUCCESS) {
    return absl::UnavailableError(
        fmt::format("{}: {}", configuration, Tss2_RC_Decode(code)));
  }
  return std::make_unique<LoadedTcti>(context, configuration, timeout);
}

}  // namespace vmattest::tpm
