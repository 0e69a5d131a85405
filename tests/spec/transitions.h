// SPDX-License-Identifier: Apache-2.0
//
// What the steps have in common: checks of pages, pages changing hands, entries
// and tables of guests. Errors are errno, positive; 0 is none.
#ifndef HOLDFAST_TESTS_SPEC_TRANSITIONS_H_
#define HOLDFAST_TESTS_SPEC_TRANSITIONS_H_

#include <cstdint>
#include <optional>

#include "absl/types/span.h"
#include "hyp/abi.h"
#include "tests/spec/run.h"
#include "tests/spec/state.h"

namespace holdfast::spec {

inline Outcome Ok(uint64_t x1 = 0, uint64_t x2 = 0, uint64_t x3 = 0) {
  return {0, x1, x2, x3};
}
inline Outcome Failed(int error, uint64_t x2 = 0) {
  return {0, static_cast<uint64_t>(-int64_t{error}), x2, 0};
}
inline Outcome OkOr(int error) { return error == 0 ? Ok() : Failed(error); }

// A handle is 16 bits.
inline bool IsHandle(uint64_t raw) { return raw <= 0xffff; }

// The slot of a VM, live or dying; null: no VM has this handle. In a section
// with the VM table.
const Slot* VmOf(Run& run, uint64_t handle);

// A reference on a VM: taken in a section under way, given up in one of its own
// at the end.
class Reference {
 public:
  Reference(Run& run, uint64_t handle) : run_(run), handle_(handle) {
    ++run_.TableToChange().slots[handle_].references;
  }
  ~Reference() {
    Run::Section section(run_);
    --run_.TableToChange().slots[handle_].references;
  }
  Reference(const Reference&) = delete;

 private:
  Run& run_;
  const uint64_t handle_;
};

// ---- Pages of the host -----------------------------------------------------

// Whether a run of frames that a host named can be one: EINVAL.
int FramesError(const Layout& layout, uint64_t first, uint64_t count);
// The host's memory, each page in this state: EINVAL, EPERM.
int HostError(Run& run, const Frames& frames, PageState want);
int HypError(Run& run, const Frames& frames, PageState want);

void SetPage(Run& run, uint64_t pfn, const Page& page);
Page PageOf(Run& run, uint64_t pfn);

// Checks of giving runs of frames to EL2, all or none.
int DonateHypError(Run& run, absl::Span<const Frames> ranges);
void DonateHyp(Run& run, const Frames& frames);
// ... and back; they read zero.
void GiveBack(Run& run, uint64_t pfn);
// EL2's use of a page that it borrows, and the end of one.
int PinError(Run& run, uint64_t pfn);
void Pin(Run& run, uint64_t pfn);
void Unpin(Run& run, uint64_t pfn);

// ---- Entries of guests -----------------------------------------------------

// One page, or a block at a place that a block can have.
bool IsPageOrBlock(uint64_t pages, uint64_t first);

// The entry that translates a gfn, and where it begins; null: none does.
struct EntryAt {
  const GuestEntry* entry = nullptr;
  uint64_t first = 0;
};
EntryAt Find(const Vm& vm, uint64_t gfn);
// Of a leaf at the gfn: EHWPOISON, ENOENT.
int LeafError(const EntryAt& at);
// ... that is a page: E2BIG too.
int PageError(const EntryAt& at);
// A valid or poisoned entry has any of these gfns.
bool AnyEntry(const Vm& vm, uint64_t gfn, uint64_t pages);
// ERANGE: gfns that no guest has.
int GfnError(const Layout& layout, uint64_t gfn, uint64_t pages);

// Tables that an entry of `level` at the gfn lacks.
uint64_t TablesMissing(const Layout& layout, const Vm& vm, uint64_t gfn,
                       int level);
// The most of `pages` pages from page number `first` on that one call may
// change: no more than a call's budget, which divides a table's pages, up to
// where a whole budget of them ends.
uint64_t MostPages(uint64_t first, uint64_t pages);
// Frames of a VM's stock that it may use: all but one for each block of a
// protected guest, for when that is split.
uint64_t StockFree(const Vm& vm);
// The entry of a protected guest's page is going to change, and those of the
// `pages` pages from there on: a block that they do not cover is pages from now
// on. Returns how many pages the entry has.
uint64_t StepInto(Run& run, uint64_t handle, uint64_t gfn, uint64_t pages);
// Adds an entry, with its tables. Which frames of the stock these are is EL2's
// choice.
void AddEntry(Run& run, uint64_t handle, uint64_t gfn, const GuestEntry& entry);
// Takes one away; tables that are empty then are stock again.
void RemoveEntry(Run& run, uint64_t handle, uint64_t gfn);
// Tables without an entry are none.
void DropEmptyTables(Vm& vm);

}  // namespace holdfast::spec

#endif  // HOLDFAST_TESTS_SPEC_TRANSITIONS_H_
