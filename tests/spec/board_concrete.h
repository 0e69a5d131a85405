// SPDX-License-Identifier: Apache-2.0
//
// A board in this process, read from its memory: tables word by word, page
// records, the objects of the VM table. It reads what a lock guards only when
// it is told that the lock is held, or the machine at rest.
#ifndef HOLDFAST_TESTS_SPEC_BOARD_CONCRETE_H_
#define HOLDFAST_TESTS_SPEC_BOARD_CONCRETE_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "tests/spec/concrete.h"
#include "tests/world/board.h"

namespace holdfast::spec {

class BoardConcrete final : public Concrete {
 public:
  explicit BoardConcrete(tests::Board& board);

  const Layout& layout() const override { return layout_; }
  const uint64_t* PageWords(uint64_t pa) const override;
  Root HostRoot() const override;
  Root HypRoot() const override;
  Root VmRoot(uint64_t handle) const override;
  void ChangedRecords(
      absl::FunctionRef<void(uint64_t pfn, const Record&)> say) override;
  void ReadTable(VmTable* table) override;
  void ReadVm(uint64_t handle, VmView* view) override;
  Cpu ReadCpu(unsigned cpu) override;
  std::optional<uint64_t> ReadStyle() override;
  uint64_t HostTablesFree() const override;
  uint64_t HypTablesFree() const override;

  // Which part a lock guards, by the lock's address.
  const void* host_lock() const;
  const void* hyp_lock() const;
  const void* table_lock() const;
  // 0: not the lock of a VM that ReadTable has named.
  uint64_t VmOf(const void* lock) const;
  // VTTBR_EL2 and VTCR_EL2 of a VM that ReadTable has named.
  std::optional<Stage2Context> ContextOf(uint64_t handle) const;

 private:
  struct Records {
    uint64_t first = 0;  // pfn
    const uint32_t* words = nullptr;
    std::vector<uint32_t> seen;
  };

  tests::Board& board_;
  Layout layout_;
  std::vector<Records> records_;
  absl::flat_hash_map<uint64_t, vm_table::Vm*> vms_;
  absl::flat_hash_map<const void*, uint64_t> locks_;
};

}  // namespace holdfast::spec

#endif  // HOLDFAST_TESTS_SPEC_BOARD_CONCRETE_H_
