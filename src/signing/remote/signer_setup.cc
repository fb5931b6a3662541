#include "signing/remote/signer_setup.h"

#include <string.h>

#include "vmattest/internal/signer.pb.h"

namespace vmattest::signing {
namespace {

void Put(const SecretBytes& bytes, std::string* field) {
  field->assign(AsText(bytes.Reveal(SecretAccess())));
}

SecretBytes TakeSecret(std::string& field) {
  SecretBytes secret(ToBytes(field));
  explicit_bzero(field.data(), field.size());
  return secret;
}

void WipeSecrets(internal::SignerSetup& message) {
  for (std::string* field :
       {message.mutable_key_auth(), message.mutable_owner_auth(),
        message.mutable_endorsement_auth()}) {
    explicit_bzero(field->data(), field->size());
  }
}

}  // namespace

SecretBytes EncodeSetup(const SignerSetup& setup) {
  internal::SignerSetup message;
  message.set_tcti(setup.tcti);
  for (const uint32_t pcr : setup.pcrs) {
    message.add_pcrs(pcr);
  }
  message.set_pcr_bank(setup.pcr_bank);
  message.set_log_pcr(setup.log_pcr);
  message.set_persistent_handle_base(setup.persistent_handle_base);
  message.set_log_index(setup.log_index);
  message.set_counter_index(setup.counter_index);
  Put(setup.key_auth, message.mutable_key_auth());
  Put(setup.owner_auth, message.mutable_owner_auth());
  Put(setup.endorsement_auth, message.mutable_endorsement_auth());
  message.set_state_dir(setup.state_dir);
  message.set_pin_file(setup.pin_file);
  message.set_hostname(setup.hostname);
  message.set_max_pending(setup.max_pending);
  message.set_post_quantum(setup.post_quantum);
  message.set_ml_dsa(setup.ml_dsa);
  message.set_module(setup.module);
  message.set_seal_authority_pem(setup.seal_authority_pem);
  message.set_rotate_days(setup.rotate_days);
  message.set_overlap_days(setup.overlap_days);
  message.set_log_level(setup.log_level);
  Bytes bytes(message.ByteSizeLong());
  (void)message.SerializeToArray(bytes.data(), static_cast<int>(bytes.size()));
  WipeSecrets(message);
  return SecretBytes(std::move(bytes));
}

absl::StatusOr<SignerSetup> ParseSetup(const SecretBytes& bytes) {
  internal::SignerSetup message;
  const ByteView view = bytes.Reveal(SecretAccess());
  if (!message.ParseFromArray(view.data(), static_cast<int>(view.size())) ||
      message.pcr_bank() > UINT16_MAX) {
    return absl::InvalidArgumentError("no setup of a signer");
  }
  SignerSetup setup;
  setup.tcti = message.tcti();
  setup.pcrs.assign(message.pcrs().begin(), message.pcrs().end());
  setup.pcr_bank = static_cast<uint16_t>(message.pcr_bank());
  setup.log_pcr = message.log_pcr();
  setup.persistent_handle_base = message.persistent_handle_base();
  setup.log_index = message.log_index();
  setup.counter_index = message.counter_index();
  setup.key_auth = TakeSecret(*message.mutable_key_auth());
  setup.owner_auth = TakeSecret(*message.mutable_owner_auth());
  setup.endorsement_auth = TakeSecret(*message.mutable_endorsement_auth());
  setup.state_dir = message.state_dir();
  setup.pin_file = message.pin_file();
  setup.hostname = message.hostname();
  setup.max_pending = message.max_pending();
  setup.post_quantum = message.post_quantum();
  setup.ml_dsa = message.ml_dsa();
  setup.module = message.module();
  setup.seal_authority_pem = message.seal_authority_pem();
  setup.rotate_days = message.rotate_days();
  setup.overlap_days = message.overlap_days();
  setup.log_level = message.log_level();
  return setup;
}

}  // namespace vmattest::signing
