// SPDX-License-Identifier: Apache-2.0
//
// What a change of a live table owes the TLBs: each translation that was taken
// out and that some CPU may still use, until all of this has been done, in this
// order (Arm ARM DDI 0487 D8.17, B2.7):
//   1. the storing CPU completes its store: DSB ISH or ISHST;
//   2. a CPU with the table's VMID entered invalidates, broadcast: by IPA, and
//      completes that (DSB ISH, the same CPU), and then what was made of stage
//      1 and stage 2 together (VMALLE1IS) and completes that;
//   or the whole VMID (VMALLS12E1IS), or all (ALLE1IS), and completes that.
// For EL2's own table: by VA (VAE2IS, or VALE2IS for leaves), completed.
// Local forms settle nothing: other CPUs may hold the translation.
#ifndef HOLDFAST_TESTS_STREAM_DEBTS_H_
#define HOLDFAST_TESTS_STREAM_DEBTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"

namespace holdfast::stream {

// EL2's own table goes by a number that no VMID has.
inline constexpr unsigned kHypVmid = 0x10000;

struct Debt {
  unsigned vmid = 0;
  // What it translates, and what to: memory, or the table of the level below.
  uint64_t ipa = 0;
  uint64_t size = 0;
  int level = 0;
  bool is_table = false;
  uint64_t address = 0;
  uint64_t attributes = 0;
  // Who took it out, and when.
  unsigned cpu = 0;
  uint64_t event = 0;

  bool visible = false;      // its store has completed
  bool stage2_done = false;  // by IPA, completed
  uint8_t stage2_by = 0;     // CPUs that owe a DSB for one by IPA
  uint8_t all_by = 0;        // ... for the last invalidation it needs
  bool reported = false;     // at an unlock

  // A table's page is all that it reaches by itself.
  bool ReachesPa(uint64_t pa, uint64_t bytes, uint64_t page) const {
    const uint64_t reach = is_table ? page : size;
    return address < pa + bytes && pa < address + reach;
  }
  bool Covers(uint64_t at, uint64_t bytes) const {
    return ipa < at + bytes && at < ipa + size;
  }
};
// "vmid 3's leaf ipa 0x1000 -> 0x40001000 (out since #12, not invalidated)".
std::string ToString(const Debt& debt);

class Debts {
 public:
  void Add(Debt debt);
  bool empty() const { return debts_.empty(); }
  uint64_t settled() const { return settled_; }

  // Barriers and invalidations by `cpu`.
  void Dsb(unsigned cpu, bool invalidations);
  // `level`: -1 for any. `page`: bytes.
  void TlbiIpa(unsigned cpu, unsigned vmid, uint64_t ipa, uint64_t size,
               int level);
  void TlbiStage1(unsigned cpu, unsigned vmid);
  void TlbiVmid(unsigned cpu, unsigned vmid);
  void TlbiAll(unsigned cpu);
  void TlbiHyp(unsigned cpu, uint64_t va, uint64_t page, bool leaves_only);

  // The first that satisfies `is`, or null.
  Debt* Find(absl::FunctionRef<bool(const Debt& debt)> is);
  void ForEach(absl::FunctionRef<void(Debt& debt)> what);

 private:
  std::vector<Debt> debts_;
  uint64_t settled_ = 0;
};

}  // namespace holdfast::stream

#endif  // HOLDFAST_TESTS_STREAM_DEBTS_H_
