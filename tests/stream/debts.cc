// SPDX-License-Identifier: Apache-2.0
#include "tests/stream/debts.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace holdfast::stream {
namespace {

constexpr uint8_t Bit(unsigned cpu) { return static_cast<uint8_t>(1u << cpu); }

}  // namespace

std::string ToString(const Debt& debt) {
  const char* left = "combined entries not invalidated";
  if (!debt.visible) {
    left = "its store not completed";
  } else if (debt.all_by != 0 || debt.stage2_by != 0) {
    left = "its invalidation not completed";
  } else if (!debt.stage2_done) {
    left = "not invalidated";
  }
  const std::string who =
      debt.vmid == kHypVmid ? "EL2" : absl::StrCat("vmid ", debt.vmid);
  return absl::StrFormat("%s's old %s %#x -> %#x (out since #%d, %s)", who,
                         debt.is_table ? "table" : "leaf", debt.ipa,
                         debt.address, debt.event, left);
}

void Debts::Add(Debt debt) {
  // The same once more: the later one takes longer.
  for (Debt& old : debts_) {
    if (old.vmid == debt.vmid && old.ipa == debt.ipa &&
        old.level == debt.level && old.is_table == debt.is_table &&
        old.address == debt.address && old.attributes == debt.attributes) {
      old = debt;
      return;
    }
  }
  debts_.push_back(debt);
}

void Debts::Dsb(unsigned cpu, bool invalidations) {
  size_t kept = 0;
  for (size_t i = 0; i < debts_.size(); ++i) {
    Debt& debt = debts_[i];
    if (debt.cpu == cpu) debt.visible = true;
    if (invalidations) {
      if ((debt.all_by & Bit(cpu)) != 0) {
        ++settled_;
        continue;
      }
      if ((debt.stage2_by & Bit(cpu)) != 0) debt.stage2_done = true;
      debt.stage2_by &= static_cast<uint8_t>(~Bit(cpu));
    }
    if (kept != i) debts_[kept] = debt;
    ++kept;
  }
  debts_.resize(kept);
}

void Debts::TlbiIpa(unsigned cpu, unsigned vmid, uint64_t ipa, uint64_t size,
                    int level) {
  for (Debt& debt : debts_) {
    if (debt.vmid != vmid || !debt.visible || !debt.Covers(ipa, size)) continue;
    // FEAT_TTL: a hint names the leaf's level; leaves of another, and tables
    // that such a walk does not come by, may stay.
    if (level >= 0 &&
        (debt.is_table ? debt.level >= level : debt.level != level)) {
      continue;
    }
    debt.stage2_by |= Bit(cpu);
  }
}

void Debts::TlbiStage1(unsigned cpu, unsigned vmid) {
  for (Debt& debt : debts_) {
    if (debt.vmid == vmid && debt.stage2_done) debt.all_by |= Bit(cpu);
  }
}

void Debts::TlbiVmid(unsigned cpu, unsigned vmid) {
  for (Debt& debt : debts_) {
    if (debt.vmid == vmid && debt.visible) debt.all_by |= Bit(cpu);
  }
}

void Debts::TlbiAll(unsigned cpu) {
  for (Debt& debt : debts_) {
    if (debt.vmid != kHypVmid && debt.visible) debt.all_by |= Bit(cpu);
  }
}

void Debts::TlbiHyp(unsigned cpu, uint64_t va, uint64_t page,
                    bool leaves_only) {
  for (Debt& debt : debts_) {
    if (debt.vmid == kHypVmid && debt.visible && debt.Covers(va, page) &&
        !(leaves_only && debt.is_table)) {
      debt.all_by |= Bit(cpu);
    }
  }
}

Debt* Debts::Find(absl::FunctionRef<bool(const Debt&)> is) {
  for (Debt& debt : debts_) {
    if (is(debt)) return &debt;
  }
  return nullptr;
}

void Debts::ForEach(absl::FunctionRef<void(Debt&)> what) {
  for (Debt& debt : debts_) what(debt);
}

}  // namespace holdfast::stream
