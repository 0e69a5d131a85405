// SPDX-License-Identifier: Apache-2.0
//
// From what a Holdfast has in memory to the state that it means, part by part.
// It keeps what it read last, and reads only what differs.
//
// Besides it says what no state expresses and no lock excuses: a mapping of the
// host's that the host may not have, an annotation that means nothing.
#ifndef HOLDFAST_TESTS_SPEC_ABSTRACTION_H_
#define HOLDFAST_TESTS_SPEC_ABSTRACTION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "tests/spec/concrete.h"
#include "tests/spec/state.h"
#include "tests/spec/tables.h"

namespace holdfast::spec {

// One of the parts of a state.
struct Part {
  enum class Kind : uint8_t { kNone, kTable, kHost, kHyp, kVm };
  Kind kind = Kind::kNone;
  uint64_t handle = 0;  // of kVm
  bool operator==(const Part&) const = default;
};
std::string ToString(const Part& part);

class Abstraction {
 public:
  // Reads all. The machine must be at rest.
  Abstraction(Concrete& concrete, unsigned cpus, State* state);

  // All below: update their part of `state` to what there is now; its lock must
  // be held, or the machine at rest. `stores`: the addresses of the words of
  // tables that may have changed; null: any may have. What is wrong is added to
  // wrong().
  using Stores = const std::vector<uint64_t>*;
  // `changed`: adds the pages that mean something else than before.
  void ReadHost(Stores stores, State* state, std::vector<uint64_t>* changed);
  void ReadHyp(Stores stores, State* state);
  // Adds VMs that are new, which have no lock to be taken yet, and drops those
  // that are gone.
  void ReadTable(State* state);
  void ReadVm(uint64_t handle, Stores stores, State* state);
  void ReadCpu(unsigned cpu, State* state);
  void ReadAll(State* state);

  // Whose table the word at an address is in, as of the last reading.
  Part TableAt(uint64_t address) const;
  // Whether the host's table maps a page of the host's, as of ReadHost.
  bool HostMaps(uint64_t pfn) const { return host_.At(pfn).valid(); }

  std::vector<std::string>& wrong() { return wrong_; }
  // What is wrong with the shape of tables, as last read.
  std::string ShapeTrouble() const;

 private:
  struct VmTables {
    explicit VmTables(Tables t) : tables(std::move(t)) {}
    Tables tables;
    VmView view;
  };

  void CheckHostLeaf(const TableEntry& leaf);
  void CheckStockFrame(uint64_t handle, uint64_t frame);
  Page PageAt(uint64_t pfn);
  Owner OwnerIn(const TableEntry& entry, uint64_t pfn);
  HypMapping HypMappingIn(const TableEntry& entry, uint64_t page) const;
  GuestEntry GuestEntryIn(const TableEntry& entry) const;
  void SetHyp(const PageRange& range, Hyp* hyp) const;

  Concrete& concrete_;
  const Layout& layout_;
  Tables host_;
  Tables hyp_;
  absl::flat_hash_map<uint64_t, std::unique_ptr<VmTables>> vms_;
  absl::flat_hash_map<uint64_t, Record> records_;  // not those like Record()
  absl::btree_map<uint64_t, HypMapping> hyp_at_boot_;
  std::vector<std::string> wrong_;
};

}  // namespace holdfast::spec

#endif  // HOLDFAST_TESTS_SPEC_ABSTRACTION_H_
