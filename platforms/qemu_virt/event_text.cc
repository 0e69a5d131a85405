// SPDX-License-Identifier: Apache-2.0
#include "platforms/qemu_virt/event_text.h"

#include <algorithm>

#include "hyp/calls.h"
#include "mem_protect/page_record.h"
#include "platforms/aarch64/sysreg.h"
#include "platforms/qemu_virt/smc_filter.h"

namespace holdfast::qemu_virt {
namespace {

using hyp::HostAbortAction;

void AddCallName(LineBuffer& line, uint64_t id) {
  const hyp::Call* const call = hyp::FindCall(id);
  if (call != nullptr) {
    line.Add(call->name);
  } else {
    line.Add("unknown call ");
    line.Add(Hex(id));
  }
}

// The ring keeps two arguments.
void AddCall(LineBuffer& line, const Event& event) {
  AddCallName(line, event.a);
  const hyp::Call* const call = hyp::FindCall(event.a);
  const unsigned arguments = call != nullptr ? call->arguments() : 2;
  line.Add("(");
  if (arguments > 0) line.Add(Hex(event.b));
  if (arguments > 1) {
    line.Add(", ");
    line.Add(Hex(event.c));
  }
  if (arguments > 2) line.Add(", ...");
  line.Add(")");
}

void AddReturn(LineBuffer& line, const Event& event) {
  AddCallName(line, event.a);
  line.Add(" -> ");
  // x1: an errno, negated, or a value.
  if (const char* const name = ErrnoName(0 - event.b)) {
    line.Add("-");
    line.Add(name);
  } else if (event.b == kSmcNotSupported) {
    line.Add("-1");
  } else {
    line.Add(Hex(event.b));
  }
  if (event.c != 0) {
    line.Add(", ");
    line.Add(Hex(event.c));
  }
}

void AddSmc(LineBuffer& line, const Event& event) {
  line.Add("smc ");
  const SmcFunction* const function =
      event.a >> 32 == 0 ? FindSmc(static_cast<uint32_t>(event.a)) : nullptr;
  if (function != nullptr) {
    line.Add(function->name);
  } else {
    line.Add(Hex(event.a));
  }
  if (event.b == kSmcNotSupported) {
    line.Add(" denied");
    return;
  }
  line.Add("(");
  line.Add(Hex(event.c));
  line.Add(function != nullptr ? ", ...)" : ")");
}

void AddAbort(LineBuffer& line, const Event& event) {
  using aarch64::EsrEl2;
  const bool fetch =
      EsrEl2::Ec::Get(event.b) ==
      static_cast<uint64_t>(aarch64::ExceptionClass::kInstructionAbortLower);
  line.Add(fetch                           ? "host fetch from "
           : (event.b & EsrEl2::kWnr) != 0 ? "host write to "
                                           : "host read from ");
  line.Add(Hex(event.a));
  line.Add(", ");
  line.Add(FaultStatusName(EsrEl2::FaultStatus::Get(event.b)));
  line.Add(event.c == static_cast<uint64_t>(HostAbortAction::kRetry)
               ? ": mapped"
               : ": refused");
}

const char* PageStateText(uint64_t state) {
  return state <= 3 ? PageStateName(static_cast<mem_protect::PageState>(state))
                    : "?";
}

// As vm_table/vm_table.cc numbers them.
const char* VmStateText(uint64_t state) {
  static constexpr const char* kNames[] = {"free", "reserved", "initialising",
                                           "live", "dying"};
  return state < std::size(kNames) ? kNames[state] : "?";
}

}  // namespace

const char* ErrnoName(uint64_t number) {
  switch (number) {
    case HF_EPERM:
      return "EPERM";
    case HF_ENOENT:
      return "ENOENT";
    case HF_E2BIG:
      return "E2BIG";
    case HF_EAGAIN:
      return "EAGAIN";
    case HF_ENOMEM:
      return "ENOMEM";
    case HF_EFAULT:
      return "EFAULT";
    case HF_EBUSY:
      return "EBUSY";
    case HF_EINVAL:
      return "EINVAL";
    case HF_ERANGE:
      return "ERANGE";
    case HF_EHWPOISON:
      return "EHWPOISON";
    default:
      return nullptr;
  }
}

const char* FaultStatusName(uint64_t status) {
  switch (status >> 2) {
    case 0:
      return "address size fault";
    case 1:
      return "translation fault";
    case 2:
      return "access flag fault";
    case 3:
      return "permission fault";
    default:
      break;
  }
  switch (status) {
    case 0x10:
      return "external abort";
    case 0x21:
      return "alignment fault";
    case 0x29:
      return "address size fault";
    case 0x2b:
      return "translation fault";
    case 0x30:
      return "TLB conflict";
    default:
      return "other fault";
  }
}

void AddEvent(LineBuffer& line, const Event& event) {
  switch (event.kind) {
    case EventKind::kNone:
    case EventKind::kVcpuMade:
    case EventKind::kMachine:
    case EventKind::kRegion:
    case EventKind::kBootFrames:
    case EventKind::kHypTable:
      return;  // the ring has none
    case EventKind::kCallEnter:
      AddCall(line, event);
      return;
    case EventKind::kCallExit:
      AddReturn(line, event);
      return;
    case EventKind::kHostAbort:
      AddAbort(line, event);
      return;
    case EventKind::kSmc:
      AddSmc(line, event);
      return;
    case EventKind::kPageState:
      line.Add("page ");
      line.Add(Hex(event.a));
      if (event.c != 1) {
        line.Add("+");
        line.Add(event.c);
      }
      line.Add(": host ");
      line.Add(PageStateText(event.b & 0xff));
      line.Add("; hyp ");
      line.Add(PageStateText(event.b >> 8));
      return;
    case EventKind::kGuestLeaf:
      line.Add("gfn ");
      line.Add(Hex(event.a));
      line.Add(" of VM ");
      line.Add(Hex(event.c));
      line.Add(": entry ");
      line.Add(Hex(event.b));
      return;
    case EventKind::kVmState:
      line.Add("VM ");
      line.Add(Hex(event.a));
      line.Add(": ");
      line.Add(VmStateText(event.b));
      return;
    case EventKind::kGuestCall:
      line.Add("VM ");
      line.Add(Hex(event.c));
      line.Add(" calls ");
      line.Add(Hex(event.a));
      line.Add("(");
      line.Add(Hex(event.b));
      line.Add(")");
      return;
    case EventKind::kGuestAbort:
      line.Add("VM ");
      line.Add(Hex(event.c));
      line.Add(" stopped at ipa ");
      line.Add(Hex(event.a));
      line.Add(", ");
      line.Add(FaultStatusName(aarch64::EsrEl2::FaultStatus::Get(event.b)));
      return;
    case EventKind::kVcpu:
      line.Add("vCPU ");
      line.Add(event.b);
      line.Add(" of VM ");
      line.Add(Hex(event.a));
      line.Add(event.c != 0 ? ": loaded" : ": put");
      return;
  }
}

bool AddUnfinished(LineBuffer& line, const EventRing& events) {
  // Within a call there are events of what it does.
  for (unsigned back = 0; back < EventRing::kEvents; ++back) {
    const Event& event = events.Back(back);
    switch (event.kind) {
      case EventKind::kCallEnter:
        AddEvent(line, event);
        return true;
      case EventKind::kNone:
      case EventKind::kCallExit:
      case EventKind::kHostAbort:
      case EventKind::kSmc:
        return false;
      default:
        break;
    }
  }
  return false;
}

}  // namespace holdfast::qemu_virt
