// SPDX-License-Identifier: Apache-2.0
//
// What a command changed: a copy of all page records, held against the records
// as they are now, and what EL2's own event rings say of VMs. A comparison of
// records is a memcmp of 4 bytes a page of RAM, and takes no lock: a CPU may be
// stopped in the middle of a call.
#ifndef HOLDFAST_PLATFORMS_SHELL_CHANGES_H_
#define HOLDFAST_PLATFORMS_SHELL_CHANGES_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/addr.h"
#include "mem_protect/page_record.h"
#include "tests/world/board.h"
#include "vm_table/vm.h"

namespace holdfast::shell {

// Page records of all RAM, by region of the memory map.
using Records = std::vector<std::vector<mem_protect::PageRecord>>;

class Changes {
 public:
  // `board` outlives this.
  explicit Changes(tests::Board& board);

  // What has changed since the last Take; a line each, at most kMostLines.
  std::vector<std::string> Take();
  static constexpr size_t kMostLines = 16;

  // A VM that was made; its object begins `memory`. Its stock is watched until
  // the VM is gone.
  void WatchStock(uint64_t handle, Pfn memory);

  // What `show diff` prints: pages that differ from `before`.
  std::vector<std::string> PagesSince(const Records& before) const;
  const Records& records() const { return records_; }

 private:
  struct Stock {
    const vm_table::Vm* vm = nullptr;
    uint64_t free = 0;
  };

  void TakeVmEvents(std::vector<std::string>* lines);
  void TakeStocks(std::vector<std::string>* lines);

  tests::Board& board_;
  Records records_;
  std::vector<uint32_t> seen_;  // by CPU: events of its ring seen so far
  std::map<uint64_t, uint64_t> vm_states_;  // by handle
  std::map<uint64_t, Stock> stocks_;        // by handle
};

}  // namespace holdfast::shell

#endif  // HOLDFAST_PLATFORMS_SHELL_CHANGES_H_
