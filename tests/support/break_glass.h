#ifndef VMATTEST_TESTS_SUPPORT_BREAK_GLASS_H_
#define VMATTEST_TESTS_SUPPORT_BREAK_GLASS_H_

#include <string>

#include "base/clock.h"
#include "document/document.h"
#include "vmattest/v1/document.pb.h"

namespace vmattest::testing {

// A break-glass order since two seconds, for `valid_ms` from `now`; its serial
// is 16 times `serial`. Throws if it cannot be signed.
inline Bytes SignedOrder(const document::PrivateKey& key, WallTime now,
                         const std::string& vm_uuid, const std::string& host_id,
                         char serial, int64_t valid_ms) {
  const int64_t at = now.time_since_epoch().count();
  v1::BreakGlassOrder order;
  v1::DocumentHeader& header = *order.mutable_header();
  header.set_version(1);
  header.set_issued_unix_ms(at - 2000);
  header.set_not_before_unix_ms(at - 2000);
  header.set_not_after_unix_ms(at + valid_ms);
  for (const std::string& algorithm : key.algorithms()) {
    header.add_signature_algorithms(algorithm);
  }
  order.set_vm_uuid(vm_uuid);
  order.set_host_id(host_id);
  order.set_serial(std::string(16, serial));
  order.set_reason("the disk must be saved");
  return key
      .Sign(document::kBreakGlassPayloadType,
            AsBytes(order.SerializeAsString()))
      .value();
}

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_BREAK_GLASS_H_
