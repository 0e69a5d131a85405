// SPDX-License-Identifier: Apache-2.0
//
// What a Holdfast is, said without tables: who has each page, what each guest
// has at each gfn, which VMs and vCPUs exist. One part for each lock, so that a
// part can be read whenever its lock is held. Written from the contract; knows
// none of the libraries under test.
//
// Lazy mappings of the host are no part of it: they come and go, and carry
// nothing. (Who reads tables checks that each is what the host may have:
// abstraction.h.)
#ifndef HOLDFAST_TESTS_SPEC_STATE_H_
#define HOLDFAST_TESTS_SPEC_STATE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "tests/spec/cow.h"
#include "tests/spec/guest.h"

namespace holdfast::spec {

// What a component has to do with a page.
enum class PageState : uint8_t {
  kOwned,     // it owns the page, nobody else may touch it
  kShared,    // it owns the page and let somebody in
  kBorrowed,  // it was let in
  kNone,      // it has no part in the page
};
const char* Name(PageState state);

// Whom the host's table names as the owner of a page that is not the host's.
struct Owner {
  enum class Kind : uint8_t { kNobody, kHyp, kGuest };
  Kind kind = Kind::kNobody;
  uint16_t handle = 0;  // of kGuest
  uint64_t gfn = 0;

  static Owner Hyp() { return {Kind::kHyp, 0, 0}; }
  static Owner Guest(uint64_t handle, uint64_t gfn) {
    return {Kind::kGuest, static_cast<uint16_t>(handle), gfn};
  }
  bool operator==(const Owner&) const = default;
};

// A page of RAM. As all RAM is at boot, but for what is EL2's own
// (Layout::Initial).
struct Page {
  PageState host = PageState::kOwned;
  PageState hyp = PageState::kNone;
  // Pins, if hyp borrows it; else mappings by non-protected guests.
  uint32_t count = 0;
  Owner owner;

  bool operator==(const Page&) const = default;
};

// Rights of a mapping.
inline constexpr uint8_t kPx = 1, kUx = 2, kWrite = 4, kRead = 8;
inline constexpr uint8_t kAllRights = kPx | kUx | kWrite | kRead;

// ---- Parts -----------------------------------------------------------------

// The host's lock: pages by frame number, those only that are not as at boot.
struct Host {
  absl::btree_map<uint64_t, Page> pages;
  bool operator==(const Host&) const = default;
};

// What EL2 maps at a page of its own addresses.
struct HypMapping {
  bool mapped = false;
  uint64_t pfn = 0;
  uint8_t rights = 0;
  uint64_t odd = 0;  // bits of the descriptor that should be others

  bool operator==(const HypMapping&) const = default;
};
// The hypervisor's lock: what EL2 maps, where it differs from boot.
struct Hyp {
  absl::btree_map<uint64_t, HypMapping> pages;
  bool operator==(const Hyp&) const = default;
};

struct Frames {
  uint64_t first = 0;
  uint64_t count = 0;

  uint64_t end() const { return first + count; }
  bool Has(uint64_t pfn) const { return pfn >= first && pfn < end(); }
  bool operator==(const Frames&) const = default;
};

// Why a vCPU stopped: the registers of the exception.
struct Exit {
  uint64_t esr = 0;
  uint64_t far = 0;
  uint64_t hpfar = 0;
  bool operator==(const Exit&) const = default;
};

struct Vcpu {
  Frames memory;
  uint64_t run_page = 0;
  bool loaded = false;
  Exit exit;  // zero while it is loaded: then it is in Cpu
  bool operator==(const Vcpu&) const = default;
};

enum class SlotState : uint8_t {
  kFree,
  kReserved,
  kInitialising,
  kLive,
  kDying,
};
const char* Name(SlotState state);

struct Slot {
  SlotState state = SlotState::kFree;
  // Of live and dying ones.
  bool is_protected = false;
  uint32_t vcpu_count = 0;
  Frames memory;
  Frames root;
  uint32_t references = 0;  // calls under way, and loaded vCPUs
  absl::btree_map<uint32_t, Vcpu> vcpus;

  bool IsVm() const {
    return state == SlotState::kLive || state == SlotState::kDying;
  }
  bool operator==(const Slot&) const = default;
};
// The VM table's lock: slots by handle, those only that are not free.
struct VmTable {
  absl::btree_map<uint64_t, Slot> slots;
  bool operator==(const VmTable&) const = default;
};

// What a guest has at a gfn. Nothing: no entry.
struct GuestEntry {
  bool poisoned = false;
  // If not:
  uint64_t pfn = 0;
  PageState state = PageState::kOwned;
  uint8_t rights = 0;
  bool young = false;
  int8_t level = 3;
  uint64_t odd = 0;  // bits of the descriptor that should be others

  bool operator==(const GuestEntry&) const = default;
};
// A table below the root: its level, and the first gfn it translates.
using TableKey = std::pair<int8_t, uint64_t>;
// Pages that a guest says are devices.
struct Device {
  uint64_t first = 0;  // IPA
  uint64_t size = 0;
  bool operator==(const Device&) const = default;
};
// A VM's lock: its stage 2, and the frames its tables come from.
struct Vm {
  absl::btree_map<uint64_t, GuestEntry> entries;  // by the first gfn of each
  absl::btree_map<TableKey, uint64_t> tables;     // the frame of each
  absl::btree_set<uint64_t> stock;  // frames that are no table yet
  uint64_t pages = 0;               // valid ones, as EL2 counts them
  uint64_t stock_frames = 0;  // given and not given back, as EL2 counts them
  std::vector<Device> devices;
  bool operator==(const Vm&) const = default;
};

struct LoadedVcpu {
  uint64_t handle = 0;
  uint32_t index = 0;
  bool operator==(const LoadedVcpu&) const = default;
};
// A CPU's own.
struct Cpu {
  std::optional<LoadedVcpu> loaded;
  Exit exit;  // of what is loaded
  bool operator==(const Cpu&) const = default;
};

struct State {
  Cow<Host> host;
  Cow<Hyp> hyp;
  Cow<VmTable> table;
  absl::btree_map<uint64_t, Cow<Vm>> vms;  // by handle: live and dying ones
  std::vector<Cpu> cpus;
  uint64_t abort_style = 0;
  Guests guests;

  bool operator==(const State&) const = default;
  std::string ToString() const;
};

// ---- For people ------------------------------------------------------------

std::string ToString(const Owner& owner);
std::string ToString(const Page& page);
std::string ToString(const HypMapping& mapping);
std::string ToString(const Slot& slot);
std::string ToString(const Vcpu& vcpu);
std::string ToString(const GuestEntry& entry);
std::string ToString(const Cpu& cpu);

// What differs, a line each: "page 0x40010: expected ..., found ...". Empty if
// nothing does.
std::string Diff(const Host& expected, const Host& found);
std::string Diff(const Hyp& expected, const Hyp& found);
std::string Diff(const VmTable& expected, const VmTable& found);
std::string Diff(uint64_t handle, const Vm& expected, const Vm& found);
std::string Diff(unsigned index, const Cpu& expected, const Cpu& found);
std::string Diff(const State& expected, const State& found);

// ---- Hashes ----------------------------------------------------------------

template <class H>
H AbslHashValue(H h, const Owner& o) {
  return H::combine(std::move(h), o.kind, o.handle, o.gfn);
}
template <class H>
H AbslHashValue(H h, const Page& p) {
  return H::combine(std::move(h), p.host, p.hyp, p.count, p.owner);
}
template <class H>
H AbslHashValue(H h, const Host& host) {
  return H::combine(std::move(h), host.pages);
}
template <class H>
H AbslHashValue(H h, const HypMapping& m) {
  return H::combine(std::move(h), m.mapped, m.pfn, m.rights, m.odd);
}
template <class H>
H AbslHashValue(H h, const Hyp& hyp) {
  return H::combine(std::move(h), hyp.pages);
}
template <class H>
H AbslHashValue(H h, const Frames& f) {
  return H::combine(std::move(h), f.first, f.count);
}
template <class H>
H AbslHashValue(H h, const Exit& e) {
  return H::combine(std::move(h), e.esr, e.far, e.hpfar);
}
template <class H>
H AbslHashValue(H h, const Vcpu& v) {
  return H::combine(std::move(h), v.memory, v.run_page, v.loaded, v.exit);
}
template <class H>
H AbslHashValue(H h, const Slot& s) {
  return H::combine(std::move(h), s.state, s.is_protected, s.vcpu_count,
                    s.memory, s.root, s.references, s.vcpus);
}
template <class H>
H AbslHashValue(H h, const VmTable& table) {
  return H::combine(std::move(h), table.slots);
}
template <class H>
H AbslHashValue(H h, const GuestEntry& e) {
  return H::combine(std::move(h), e.poisoned, e.pfn, e.state, e.rights, e.young,
                    e.level, e.odd);
}
template <class H>
H AbslHashValue(H h, const Device& d) {
  return H::combine(std::move(h), d.first, d.size);
}
template <class H>
H AbslHashValue(H h, const Vm& vm) {
  return H::combine(std::move(h), vm.entries, vm.tables, vm.stock, vm.pages,
                    vm.stock_frames, vm.devices);
}
template <class H>
H AbslHashValue(H h, const LoadedVcpu& v) {
  return H::combine(std::move(h), v.handle, v.index);
}
template <class H>
H AbslHashValue(H h, const Cpu& c) {
  return H::combine(std::move(h), c.loaded.has_value(),
                    c.loaded.value_or(LoadedVcpu()), c.exit);
}
template <class H>
H AbslHashValue(H h, const State& s) {
  return H::combine(std::move(h), s.host, s.hyp, s.table, s.vms, s.cpus,
                    s.abort_style, s.guests);
}

}  // namespace holdfast::spec

#endif  // HOLDFAST_TESTS_SPEC_STATE_H_
