// SPDX-License-Identifier: Apache-2.0
#include "platforms/qemu_virt/board.h"

namespace holdfast::qemu_virt {

bool HandleFaultCall(TrapFrame&, uint64_t) { return false; }
void PretendAtBoot(std::string_view) {}
void PretendCpuId(const BoardCpu&, aarch64::CpuId&) {}
void BeforeHost(Board&) {}

}  // namespace holdfast::qemu_virt
