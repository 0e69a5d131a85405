// SPDX-License-Identifier: Apache-2.0
//
// What the abstraction asks of a Holdfast that runs: words of its tables, page
// records, the VM table. A machine in this process answers from its memory
// (board_concrete.h); a replayed stream of events from what the events said.
#ifndef HOLDFAST_TESTS_SPEC_CONCRETE_H_
#define HOLDFAST_TESTS_SPEC_CONCRETE_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/functional/function_ref.h"
#include "tests/spec/layout.h"
#include "tests/spec/state.h"

namespace holdfast::spec {

// Where a tree of tables begins: contiguous pages that are one table.
struct Root {
  uint64_t pa = 0;
  int level = 0;
  unsigned pages = 1;
};

// A page's record.
struct Record {
  PageState host = PageState::kOwned;
  PageState hyp = PageState::kNone;
  uint32_t count = 0;
  bool operator==(const Record&) const = default;
};

// What EL2 keeps about a VM besides its tables, under the VM's lock.
struct VmView {
  uint64_t pages = 0;
  uint64_t stock_frames = 0;
  std::vector<uint64_t> stock;  // free frames, in any order
  std::vector<Device> devices;
};

class Concrete {
 public:
  virtual ~Concrete() = default;

  virtual const Layout& layout() const = 0;

  // The words of the page of RAM at `pa`, or null: it is none. They may change
  // at any time; read each once, as an atomic.
  virtual const uint64_t* PageWords(uint64_t pa) const = 0;

  virtual Root HostRoot() const = 0;
  virtual Root HypRoot() const = 0;
  // Of a VM that ReadTable has named.
  virtual Root VmRoot(uint64_t handle) const = 0;

  // Says each record that differs from what it said last. Before the first time
  // all are as Record().
  virtual void ChangedRecords(
      absl::FunctionRef<void(uint64_t pfn, const Record& record)> say) = 0;

  virtual void ReadTable(VmTable* table) = 0;
  virtual void ReadVm(uint64_t handle, VmView* view) = 0;
  virtual Cpu ReadCpu(unsigned cpu) = 0;

  // What a host takes for a refused access (HF_ABORT_...). Nothing: nobody can
  // say.
  virtual std::optional<uint64_t> ReadStyle() { return std::nullopt; }
  // Frames that the host's table and EL2's own can still grow by. Each under
  // its lock.
  virtual uint64_t HostTablesFree() const { return ~uint64_t{0}; }
  virtual uint64_t HypTablesFree() const { return ~uint64_t{0}; }
};

}  // namespace holdfast::spec

#endif  // HOLDFAST_TESTS_SPEC_CONCRETE_H_
