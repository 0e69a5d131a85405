// SPDX-License-Identifier: Apache-2.0
//
// One call (or abort), as it was recorded and as the contract wants it.
//
// A call changes the state in lock sections: from the first lock it takes until
// it holds none again. Of each section the recorder keeps what the parts were
// when their locks were taken, and when they were let go. The contract's steps
// (steps.h) are written section by section: they begin with what the parts
// were, change that copy as the contract says, and at the section's end the
// copy must be what was found. So it holds with any number of CPUs, whose
// sections interleave; and a part that a step needs but the call did not lock
// is itself a mismatch.
//
// Where nobody knows of locks (a replayed stream), a whole call is one section
// with all parts (`whole`): for streams in which calls do not overlap.
#ifndef HOLDFAST_TESTS_SPEC_RUN_H_
#define HOLDFAST_TESTS_SPEC_RUN_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "tests/spec/guest.h"
#include "tests/spec/layout.h"
#include "tests/spec/state.h"

namespace holdfast::spec {

template <class T>
struct Recorded {
  Cow<T> before;
  Cow<T> after;
};

struct RecordedSection {
  std::optional<Recorded<Host>> host;
  std::optional<Recorded<Hyp>> hyp;
  std::optional<Recorded<VmTable>> table;
  absl::btree_map<uint64_t, Recorded<Vm>> vms;
  // Pages that became the host's and did not read zero then.
  absl::btree_set<uint64_t> not_zero;
};

// All parts of two states as one section.
RecordedSection WholeSection(const State& before, const State& after);

// x0..x3 as they leave.
struct Outcome {
  uint64_t x0 = 0;
  uint64_t x1 = 0;
  uint64_t x2 = 0;
  uint64_t x3 = 0;
  bool operator==(const Outcome&) const = default;
};
std::string ToString(const Outcome& outcome);

class Run {
 public:
  struct Input {
    const Layout* layout = nullptr;
    unsigned cpu = 0;
    std::vector<RecordedSection> sections;
    bool whole = false;
    Cpu cpu_before;
    bool loaded_is_protected = false;
    uint64_t style_before = 0;
    // What came of it: steps look at it only where the contract leaves a
    // choice.
    Outcome found;
    // Pages that EL2's own stocks of tables still have.
    uint64_t tables_free = ~uint64_t{0};
    // Guests, to be changed, and as they were when the VM table's lock was last
    // taken. Null: nobody knows of them.
    Guests* guests = nullptr;
    const Guests* guests_at_table = nullptr;
  };
  explicit Run(Input input);

  const Layout& layout() const { return *in_.layout; }
  const Outcome& found() const { return in_.found; }
  // Whether EL2 may say that it has no tables for `pages` pages in `ranges`
  // ranges, and did say so.
  bool OutOfTables(uint64_t ranges, uint64_t pages) const;
  bool TablesLow(uint64_t ranges, uint64_t pages) const;
  // Of the VM whose vCPU is loaded.
  bool loaded_is_protected() const { return in_.loaded_is_protected; }

  bool knows_guests() const { return in_.guests != nullptr; }
  Guests& guests() { return *in_.guests; }
  const Guests* guests_at_table() const { return in_.guests_at_table; }

  // The CPU's own part, and the style of aborts: no lock, the steps' to change.
  Cpu cpu;
  uint64_t style = 0;

  // A lock section, while it lives.
  class Section {
   public:
    explicit Section(Run& run) : run_(run) { run_.Open(); }
    ~Section() { run_.Close(); }
    Section(const Section&) = delete;

   private:
    Run& run_;
  };

  // In a section. What the contract makes of each part so far; `...ToChange`
  // for steps that do.
  const Host& host() { return *HostPart(); }
  Host& HostToChange() { return HostPart().Mut(); }
  const Hyp& hyp() { return *HypPart(); }
  Hyp& HypToChange() { return HypPart().Mut(); }
  const VmTable& table() { return *TablePart(); }
  VmTable& TableToChange() { return TablePart().Mut(); }
  const Vm& vm(uint64_t handle) { return *VmPart(handle); }
  Vm& VmToChange(uint64_t handle) { return VmPart(handle).Mut(); }
  // What was found at the section's end, for what the contract leaves open.
  const Host& found_host();
  const VmTable& found_table();
  const Vm& found_vm(uint64_t handle);
  bool HoldsHost() const { return at_ != nullptr && at_->host.has_value(); }
  bool HoldsTable() const { return at_ != nullptr && at_->table.has_value(); }
  bool HoldsVm(uint64_t handle) const {
    return at_ != nullptr && at_->vms.contains(handle);
  }

  // Sections that no step has asked for yet.
  size_t SectionsLeft() const {
    return in_.whole ? 0 : in_.sections.size() - next_;
  }

  // The contract wants this page zero when it becomes the host's.
  void Zeroed(uint64_t pfn);
  void Wrong(std::string what) { wrong_.push_back(std::move(what)); }

  // After all steps: sections that nobody asked for must have changed nothing;
  // the result must be `expected`, CPU and style what was found. Everything
  // that is wrong, or "".
  std::string Finish(const Outcome& expected, const Cpu& cpu_found,
                     std::optional<uint64_t> style_found);

 private:
  struct Expected {
    std::optional<Cow<Host>> host;
    std::optional<Cow<Hyp>> hyp;
    std::optional<Cow<VmTable>> table;
    absl::btree_map<uint64_t, Cow<Vm>> vms;
  };

  void Open();
  void Close();
  void Begin(const RecordedSection& section);
  void Compare(const RecordedSection& section);
  Cow<Host>& HostPart();
  Cow<Hyp>& HypPart();
  Cow<VmTable>& TablePart();
  Cow<Vm>& VmPart(uint64_t handle);
  void Missing(const std::string& part);

  const Input in_;
  size_t next_ = 0;
  const RecordedSection* at_ = nullptr;
  Expected expected_;
  std::vector<std::string> wrong_;
};

}  // namespace holdfast::spec

#endif  // HOLDFAST_TESTS_SPEC_RUN_H_
