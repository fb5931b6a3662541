#include "evidence/statement.h"
#include "merkle/tree.h"

namespace vmattest::evidence {

DigestBytes StateRoot(HashAlgorithm algorithm,
                      const std::vector<RegionState>& regions) {
  std::vector<DigestBytes> leaves;
  leaves.reserve(regions.size());
  for (const RegionState& region : regions) {
    ByteWriter writer;
    writer.Sized(region.name).Sized(region.severity);
    writer.U64(region.bytes).U64(region.pages);
    writer.Sized(region.selection).Sized(region.root);
    writer.U64(region.unreadable_pages).U64(region.torn_pages);
    writer.Sized(region.unavailable);
    leaves.push_back(merkle::LeafHash(algorithm, writer.bytes()));
  }
  return merkle::Tree(algorithm, std::move(leaves)).Root();
}

DigestBytes RecordsRoot(HashAlgorithm algorithm,
                        const std::vector<StateRecord>& records) {
  if (records.empty()) {
    return {};
  }
  std::vector<DigestBytes> leaves;
  leaves.reserve(records.size());
  for (const StateRecord& record : records) {
    ByteWriter writer;
    writer.Sized(record.name).Sized(record.text);
    leaves.push_back(merkle::LeafHash(algorithm, writer.bytes()));
  }
  return merkle::Tree(algorithm, std::move(leaves)).Root();
}

}  // namespace vmattest::evidence
