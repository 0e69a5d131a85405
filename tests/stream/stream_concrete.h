// SPDX-License-Identifier: Apache-2.0
//
// A Holdfast as an event stream tells of it, for the executable specification
// (tests/spec/concrete.h). True between calls; what a vCPU stopped for is in no
// stream, and reads zero.
#ifndef HOLDFAST_TESTS_STREAM_STREAM_CONCRETE_H_
#define HOLDFAST_TESTS_STREAM_STREAM_CONCRETE_H_

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/node_hash_map.h"
#include "base/cpu_local.h"
#include "platforms/stream/event.h"
#include "tests/spec/concrete.h"

namespace holdfast::stream {

class StreamConcrete final : public spec::Concrete {
 public:
  void Feed(const Event& event);

  // "", or why the specification has nothing to say of this machine.
  std::string Unfit() const;

  const spec::Layout& layout() const override { return layout_; }
  const uint64_t* PageWords(uint64_t pa) const override;
  spec::Root HostRoot() const override { return RootAt(host_root_); }
  spec::Root HypRoot() const override { return hyp_root_; }
  spec::Root VmRoot(uint64_t handle) const override;
  void ChangedRecords(
      absl::FunctionRef<void(uint64_t, const spec::Record&)> say) override;
  void ReadTable(spec::VmTable* table) override;
  void ReadVm(uint64_t handle, spec::VmView* view) override;
  spec::Cpu ReadCpu(unsigned cpu) override;

 private:
  struct Vm {
    spec::Slot slot;
    std::set<uint64_t> given;  // frames of its stock, tables or free
  };
  using Words = std::vector<uint64_t>;

  spec::Root RootAt(uint64_t pa) const {
    return {pa, layout_.start_level, layout_.root_pages};
  }
  Words& Page(uint64_t page);
  void VmState(const Event& event);
  void PageState(const Event& event);
  void CallExit(const Event& event);
  // Tables below, and the pages that leaves map.
  uint64_t Walk(uint64_t page, int level, std::set<uint64_t>* tables) const;

  spec::Layout layout_;
  unsigned page_shift_ = 0;
  uint64_t host_root_ = 0;  // 0: none yet
  spec::Root hyp_root_;
  absl::node_hash_map<uint64_t, Words> pages_;
  Words zeroes_;
  absl::flat_hash_map<uint64_t, spec::Record> records_;
  std::set<uint64_t> changed_;
  std::map<uint64_t, Vm> vms_;  // by handle
  std::array<std::optional<spec::LoadedVcpu>, kMaxCpus> loaded_;
  std::array<Event, kMaxCpus> calls_;  // entered, by CPU
};

}  // namespace holdfast::stream

#endif  // HOLDFAST_TESTS_STREAM_STREAM_CONCRETE_H_
