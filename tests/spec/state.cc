// SPDX-License-Identifier: Apache-2.0
#include "tests/spec/state.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace holdfast::spec {
namespace {

// The keys that two maps do not say the same of; `print` says what a map does.
template <class Map, class Name, class Print>
std::string DiffMaps(const Map& expected, const Map& found, Name name,
                     Print print, const char* absent) {
  std::string text;
  const auto line = [&](const auto& key, const std::string& want,
                        const std::string& have) {
    absl::StrAppend(&text, "  ", name(key), "\n    expected ", want,
                    "\n    found    ", have, "\n");
  };
  auto e = expected.begin();
  auto f = found.begin();
  while (e != expected.end() || f != found.end()) {
    if (f == found.end() || (e != expected.end() && e->first < f->first)) {
      line(e->first, print(e->second), absent);
      ++e;
    } else if (e == expected.end() || f->first < e->first) {
      line(f->first, absent, print(f->second));
      ++f;
    } else {
      if (!(e->second == f->second))
        line(e->first, print(e->second), print(f->second));
      ++e;
      ++f;
    }
  }
  return text;
}

std::string Hex(const std::string& what, uint64_t number) {
  return absl::StrFormat("%s %#x", what, number);
}

std::string Rights(uint8_t rights) {
  std::string text;
  text += (rights & kRead) != 0 ? 'r' : '-';
  text += (rights & kWrite) != 0 ? 'w' : '-';
  text += (rights & kPx) != 0 ? 'x' : '-';
  text += (rights & kUx) != 0 ? 'u' : '-';
  return text;
}

std::string Odd(uint64_t odd) {
  return odd == 0 ? "" : absl::StrFormat(", WRONG BITS %#x", odd);
}

}  // namespace

const char* Name(PageState state) {
  switch (state) {
    case PageState::kOwned:
      return "owned";
    case PageState::kShared:
      return "shared";
    case PageState::kBorrowed:
      return "borrowed";
    case PageState::kNone:
      return "none";
  }
  return "?";
}

const char* Name(SlotState state) {
  switch (state) {
    case SlotState::kFree:
      return "free";
    case SlotState::kReserved:
      return "reserved";
    case SlotState::kInitialising:
      return "initialising";
    case SlotState::kLive:
      return "live";
    case SlotState::kDying:
      return "dying";
  }
  return "?";
}

std::string ToString(const Owner& owner) {
  switch (owner.kind) {
    case Owner::Kind::kNobody:
      return "";
    case Owner::Kind::kHyp:
      return ", given to EL2";
    case Owner::Kind::kGuest:
      return absl::StrFormat(", given to VM %#x at gfn %#x", owner.handle,
                             owner.gfn);
  }
  return "?";
}

std::string ToString(const Page& page) {
  return absl::StrCat("host ", Name(page.host), ", hyp ", Name(page.hyp),
                      ", count ", page.count, ToString(page.owner));
}

std::string ToString(const HypMapping& mapping) {
  if (!mapping.mapped) return "not mapped (boot did)";
  return absl::StrFormat("-> %#x %s%s", mapping.pfn, Rights(mapping.rights),
                         Odd(mapping.odd));
}

std::string ToString(const Vcpu& vcpu) {
  return absl::StrFormat("memory %#x+%u, run page %#x%s, exit %#x %#x %#x",
                         vcpu.memory.first, vcpu.memory.count, vcpu.run_page,
                         vcpu.loaded ? ", loaded" : "", vcpu.exit.esr,
                         vcpu.exit.far, vcpu.exit.hpfar);
}

std::string ToString(const Slot& slot) {
  if (!slot.IsVm()) return Name(slot.state);
  std::string text = absl::StrFormat(
      "%s, %sprotected, memory %#x+%u, root %#x+%u, %u references",
      Name(slot.state), slot.is_protected ? "" : "not ", slot.memory.first,
      slot.memory.count, slot.root.first, slot.root.count, slot.references);
  for (const auto& [index, vcpu] : slot.vcpus)
    absl::StrAppend(&text, "; vCPU ", index, "/", slot.vcpu_count, ": ",
                    ToString(vcpu));
  return text;
}

std::string ToString(const GuestEntry& entry) {
  if (entry.poisoned) return "poison";
  return absl::StrFormat("-> %#x %s %s %s, level %d%s", entry.pfn,
                         Name(entry.state), Rights(entry.rights),
                         entry.young ? "young" : "old", entry.level,
                         Odd(entry.odd));
}

std::string ToString(const Cpu& cpu) {
  if (!cpu.loaded.has_value()) return "nothing loaded";
  return absl::StrFormat("VM %#x vCPU %u loaded, exit %#x %#x %#x",
                         cpu.loaded->handle, cpu.loaded->index, cpu.exit.esr,
                         cpu.exit.far, cpu.exit.hpfar);
}

std::string Diff(const Host& expected, const Host& found) {
  return DiffMaps(
      expected.pages, found.pages,
      [](uint64_t pfn) { return Hex("page", pfn); },
      [](const Page& page) { return ToString(page); }, "as at boot");
}

std::string Diff(const Hyp& expected, const Hyp& found) {
  return DiffMaps(
      expected.pages, found.pages,
      [](uint64_t pfn) { return Hex("EL2's page", pfn); },
      [](const HypMapping& mapping) { return ToString(mapping); },
      "as at boot");
}

std::string Diff(const VmTable& expected, const VmTable& found) {
  return DiffMaps(
      expected.slots, found.slots,
      [](uint64_t handle) { return Hex("slot", handle); },
      [](const Slot& slot) { return ToString(slot); }, "free");
}

std::string Diff(uint64_t handle, const Vm& expected, const Vm& found) {
  const std::string vm = absl::StrFormat("VM %#x", handle);
  std::string text = DiffMaps(
      expected.entries, found.entries,
      [&](uint64_t gfn) { return absl::StrCat(vm, Hex(" gfn", gfn)); },
      [](const GuestEntry& entry) { return ToString(entry); }, "nothing");
  text += DiffMaps(
      expected.tables, found.tables,
      [&](const TableKey& key) {
        return absl::StrFormat("%s table of level %d for gfn %#x", vm,
                               key.first, key.second);
      },
      [](uint64_t frame) { return Hex("in frame", frame); }, "none");
  const auto frames = [](const Vm& of) {
    absl::btree_map<uint64_t, bool> map;
    for (uint64_t frame : of.stock) map[frame] = true;
    return map;
  };
  text += DiffMaps(
      frames(expected), frames(found),
      [&](uint64_t pfn) { return absl::StrCat(vm, Hex(" stock frame", pfn)); },
      [](bool) { return std::string("in stock"); }, "not in stock");
  if (expected.pages != found.pages) {
    absl::StrAppendFormat(&text,
                          "  %s pages\n    expected %u\n    found    %u\n", vm,
                          expected.pages, found.pages);
  }
  if (expected.devices != found.devices) {
    absl::StrAppendFormat(&text,
                          "  %s devices\n    expected %u\n    found    %u\n",
                          vm, expected.devices.size(), found.devices.size());
  }
  if (expected.stock_frames != found.stock_frames) {
    absl::StrAppendFormat(
        &text, "  %s frames given\n    expected %u\n    found    %u\n", vm,
        expected.stock_frames, found.stock_frames);
  }
  return text;
}

std::string Diff(unsigned index, const Cpu& expected, const Cpu& found) {
  if (expected == found) return "";
  return absl::StrCat("  CPU ", index, "\n    expected ", ToString(expected),
                      "\n    found    ", ToString(found), "\n");
}

std::string Diff(const State& expected, const State& found) {
  std::string text = Diff(*expected.host, *found.host);
  text += Diff(*expected.hyp, *found.hyp);
  text += Diff(*expected.table, *found.table);
  absl::btree_set<uint64_t> handles;
  for (const auto& [handle, vm] : expected.vms) handles.insert(handle);
  for (const auto& [handle, vm] : found.vms) handles.insert(handle);
  const Vm none;
  for (uint64_t handle : handles) {
    const auto e = expected.vms.find(handle);
    const auto f = found.vms.find(handle);
    text += Diff(handle, e == expected.vms.end() ? none : *e->second,
                 f == found.vms.end() ? none : *f->second);
  }
  for (unsigned i = 0; i < expected.cpus.size() && i < found.cpus.size(); ++i)
    text += Diff(i, expected.cpus[i], found.cpus[i]);
  if (expected.abort_style != found.abort_style) {
    absl::StrAppend(&text, "  abort style\n    expected ", expected.abort_style,
                    "\n    found    ", found.abort_style, "\n");
  }
  return text;
}

std::string State::ToString() const { return Diff(State(), *this); }

}  // namespace holdfast::spec
