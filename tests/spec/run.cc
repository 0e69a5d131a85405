// SPDX-License-Identifier: Apache-2.0
#include "tests/spec/run.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "hyp/abi.h"

namespace holdfast::spec {

RecordedSection WholeSection(const State& before, const State& after) {
  RecordedSection section;
  section.host = {before.host, after.host};
  section.hyp = {before.hyp, after.hyp};
  section.table = {before.table, after.table};
  for (const auto& [handle, vm] : before.vms) {
    const auto at = after.vms.find(handle);
    // Of a VM that is gone, its last state is not known.
    section.vms[handle] = {vm, at == after.vms.end() ? vm : at->second};
  }
  for (const auto& [handle, vm] : after.vms) {
    if (!before.vms.contains(handle)) section.vms[handle] = {Cow<Vm>(), vm};
  }
  return section;
}

std::string ToString(const Outcome& outcome) {
  const auto value = static_cast<int64_t>(outcome.x1);
  if (value < 0 && value > -4096) {
    return absl::StrFormat("x0 %#x, x1 %d, x2 %#x, x3 %#x", outcome.x0, value,
                           outcome.x2, outcome.x3);
  }
  return absl::StrFormat("x0 %#x, x1 %#x, x2 %#x, x3 %#x", outcome.x0,
                         outcome.x1, outcome.x2, outcome.x3);
}

Run::Run(Input input)
    : cpu(input.cpu_before), style(input.style_before), in_(std::move(input)) {
  if (in_.whole) {
    at_ = &in_.sections.at(0);
    Begin(*at_);
  }
}

bool Run::TablesLow(uint64_t ranges, uint64_t pages) const {
  return in_.tables_free < ranges * 8 + 2 * pages / kEntries;
}

bool Run::OutOfTables(uint64_t ranges, uint64_t pages) const {
  return in_.found.x1 == static_cast<uint64_t>(-int64_t{HF_ENOMEM}) &&
         in_.found.x2 == 0 && TablesLow(ranges, pages);
}

void Run::Begin(const RecordedSection& section) {
  expected_ = {};
  if (section.host.has_value()) expected_.host = section.host->before;
  if (section.hyp.has_value()) expected_.hyp = section.hyp->before;
  if (section.table.has_value()) expected_.table = section.table->before;
  for (const auto& [handle, vm] : section.vms)
    expected_.vms[handle] = vm.before;
}

void Run::Open() {
  if (in_.whole) return;
  at_ = nullptr;
  expected_ = {};
  if (next_ == in_.sections.size()) return;  // whoever needs a part says so
  at_ = &in_.sections[next_++];
  Begin(*at_);
}

void Run::Close() {
  if (in_.whole || at_ == nullptr) return;
  Compare(*at_);
  at_ = nullptr;
}

void Run::Compare(const RecordedSection& section) {
  std::string text;
  const auto same = [](const auto& expected, const auto& recorded) {
    return *expected == recorded->after;
  };
  if (section.host.has_value() && !same(expected_.host, section.host))
    text += Diff(**expected_.host, *section.host->after);
  if (section.hyp.has_value() && !same(expected_.hyp, section.hyp))
    text += Diff(**expected_.hyp, *section.hyp->after);
  if (section.table.has_value() && !same(expected_.table, section.table))
    text += Diff(**expected_.table, *section.table->after);
  for (const auto& [handle, vm] : section.vms) {
    const Cow<Vm>& expected = expected_.vms.at(handle);
    if (expected == vm.after) continue;
    // Hardware may have set access flags meanwhile.
    Vm loose = *expected;
    if (in_.layout->hafdbs) {
      for (auto& [gfn, entry] : loose.entries) {
        const auto at = vm.after->entries.find(gfn);
        if (at != vm.after->entries.end() && at->second.young)
          entry.young = true;
      }
    }
    text += Diff(handle, loose, *vm.after);
  }
  if (!text.empty()) {
    wrong_.push_back(in_.whole ? text
                               : absl::StrCat("lock section ",
                                              &section - in_.sections.data(),
                                              ":\n", text));
  }
}

void Run::Missing(const std::string& part) {
  Wrong(absl::StrCat("the contract's step needs ", part,
                     ", whose lock the call did not hold (section ", next_,
                     " of ", in_.sections.size(), ")"));
}

Cow<Host>& Run::HostPart() {
  if (!expected_.host.has_value()) {
    Missing("the host's part");
    expected_.host.emplace();
  }
  return *expected_.host;
}
Cow<Hyp>& Run::HypPart() {
  if (!expected_.hyp.has_value()) {
    Missing("EL2's table");
    expected_.hyp.emplace();
  }
  return *expected_.hyp;
}
Cow<VmTable>& Run::TablePart() {
  if (!expected_.table.has_value()) {
    Missing("the VM table");
    expected_.table.emplace();
  }
  return *expected_.table;
}
Cow<Vm>& Run::VmPart(uint64_t handle) {
  const auto at = expected_.vms.find(handle);
  if (at != expected_.vms.end()) return at->second;
  Missing(absl::StrFormat("VM %#x", handle));
  return expected_.vms[handle];
}

const Host& Run::found_host() {
  return HoldsHost() ? *at_->host->after : *HostPart();
}
const VmTable& Run::found_table() {
  return HoldsTable() ? *at_->table->after : *TablePart();
}
const Vm& Run::found_vm(uint64_t handle) {
  return HoldsVm(handle) ? *at_->vms.at(handle).after : *VmPart(handle);
}

void Run::Zeroed(uint64_t pfn) {
  if (at_ != nullptr && at_->not_zero.contains(pfn)) {
    Wrong(absl::StrFormat("page %#x became the host's and does not read zero",
                          pfn));
  }
}

std::string Run::Finish(const Outcome& expected, const Cpu& cpu_found,
                        std::optional<uint64_t> style_found) {
  if (in_.whole) {
    Compare(*at_);
  } else {
    // What nobody asked for may have looked, no more.
    while (SectionsLeft() > 0) {
      Open();
      Close();
    }
  }
  if (!(expected == in_.found)) {
    wrong_.push_back(absl::StrCat("  result\n    expected ", ToString(expected),
                                  "\n    found    ", ToString(in_.found),
                                  "\n"));
  }
  if (!(cpu == cpu_found)) wrong_.push_back(Diff(in_.cpu, cpu, cpu_found));
  if (style_found.has_value() && *style_found != style) {
    wrong_.push_back(absl::StrCat("  abort style\n    expected ", style,
                                  "\n    found    ", *style_found, "\n"));
  }
  return absl::StrJoin(wrong_, "\n");
}

}  // namespace holdfast::spec
