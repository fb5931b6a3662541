#ifndef VMATTEST_VERIFICATION_LRU_H_
#define VMATTEST_VERIFICATION_LRU_H_

#include <list>
#include <map>
#include <optional>
#include <utility>

namespace vmattest::verification {

// The `most` values that were used last. One thread at a time.
template <class Key, class Value>
class Lru {
 public:
  explicit Lru(size_t most) : most_(most) {}

  std::optional<Value> Find(const Key& key) {
    const auto it = index_.find(key);
    if (it == index_.end()) {
      return std::nullopt;
    }
    order_.splice(order_.begin(), order_, it->second);
    return it->second->second;
  }

  void Put(const Key& key, Value value) {
    if (const auto it = index_.find(key); it != index_.end()) {
      order_.erase(it->second);
      index_.erase(it);
    }
    order_.emplace_front(key, std::move(value));
    index_[key] = order_.begin();
    if (order_.size() > most_) {
      index_.erase(order_.back().first);
      order_.pop_back();
    }
  }

 private:
  using Order = std::list<std::pair<Key, Value>>;
  const size_t most_;
  Order order_;
  std::map<Key, typename Order::iterator> index_;
};

}  // namespace vmattest::verification

#endif  // VMATTEST_VERIFICATION_LRU_H_
