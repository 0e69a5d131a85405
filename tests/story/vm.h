// SPDX-License-Identifier: Apache-2.0
//
// A protected VM with one vCPU, as a host makes one.
#ifndef HOLDFAST_TESTS_STORY_VM_H_
#define HOLDFAST_TESTS_STORY_VM_H_

#include <cstdint>

#include "hyp/abi.h"
#include "tests/story/host.h"
#include "tests/story/teller.h"

namespace holdfast::story {

class Vm {
 public:
  static constexpr uint64_t kStock = 8;

  // Picks the frames; no VM yet.
  explicit Vm(Host& host) : host_(host) {
    const Reply needs = host.Call(HF_VM_FRAMES_NEEDED, 1);
    memory_frames_ = needs.x1;
    root_frames_ = needs.x2;
    vcpu_frames_ = needs.x3;
    memory_ = host.Frames(memory_frames_, 1);
    root_ = host.Frames(root_frames_, root_frames_);
    vcpu_memory_ = host.Frames(vcpu_frames_, 1);
    stock_ = host.Frames(kStock, 1);
    run_page_ = host.Frames(1, 1);
  }

  // Reserves, initialises, stocks and loads it on this CPU, telling each call.
  void Make(Teller& tell) {
    const Reply reserved = host_.Call(HF_RESERVE_VM);
    handle_ = reserved.x1;
    tell.Check("reserve_vm()", "a handle",
               reserved.x0 == 0 && handle_ >= 0x1000);
    tell.Call("init_vm(vm, V, T, 1 vCPU, protected)", Init(), 0);
    tell.Owns('V', Owner::kEl2);
    tell.Owns('T', Owner::kEl2);
    tell.Call("host_share_hyp(R)", host_.Call(HF_HOST_SHARE_HYP, run_page_), 0);
    tell.Owns('R', Owner::kShared);
    tell.Call("init_vcpu(vm, 0, C, R)", InitVcpu(), 0);
    tell.Owns('C', Owner::kEl2);
    const Reply topup = host_.Call(HF_TOPUP_VM, handle_, stock_, kStock);
    tell.Call("topup_vm(vm, K, 8 frames)", topup, 0);
    tell.Number("    frames taken", topup.x2, topup.x2 == kStock);
    tell.Owns('K', Owner::kEl2);
    tell.Call("vcpu_load(vm, 0)", host_.Call(HF_VCPU_LOAD, handle_, 0), 0);
  }

  // The same without a word, for races. Says whether all calls answered 0.
  bool MakeQuietly() {
    const Reply reserved = host_.Call(HF_RESERVE_VM);
    handle_ = reserved.x1;
    bool good = reserved.x0 == 0 && handle_ >= 0x1000;
    good = Served(Init()) && good;
    good = Served(host_.Call(HF_HOST_SHARE_HYP, run_page_)) && good;
    good = Served(InitVcpu()) && good;
    good = Served(host_.Call(HF_TOPUP_VM, handle_, stock_, kStock)) && good;
    return Served(host_.Call(HF_VCPU_LOAD, handle_, 0)) && good;
  }

  // Needs the vCPU loaded on this CPU.
  Reply Donate(uint64_t pfn, uint64_t gfn) const {
    return host_.Call(HF_HOST_DONATE_GUEST, pfn, gfn, 1);
  }

  static bool Served(const Reply& reply) {
    return reply.x0 == 0 && reply.x1 == 0;
  }

  uint64_t handle() const { return handle_; }
  uint64_t memory() const { return memory_; }
  uint64_t root() const { return root_; }
  uint64_t vcpu_memory() const { return vcpu_memory_; }
  uint64_t stock() const { return stock_; }
  uint64_t run_page() const { return run_page_; }
  // What finalize waits for: stock and vCPUs; frames that drain gives back.
  uint64_t outstanding() const { return kStock + 1; }
  uint64_t stock_and_vcpus() const { return kStock + vcpu_frames_; }

  // All frames that were ever EL2's, as runs.
  template <class Visit>
  void ForEachRange(Visit visit) const {
    visit(memory_, memory_frames_);
    visit(root_, root_frames_);
    visit(vcpu_memory_, vcpu_frames_);
    visit(stock_, kStock);
  }

 private:
  Reply Init() {
    return host_.Call(HF_INIT_VM, handle_, memory_, root_, 1, HF_VM_PROTECTED);
  }
  Reply InitVcpu() {
    return host_.Call(HF_INIT_VCPU, handle_, 0, vcpu_memory_, run_page_);
  }

  Host& host_;
  uint64_t handle_ = 0;
  uint64_t memory_frames_ = 0;
  uint64_t root_frames_ = 0;
  uint64_t vcpu_frames_ = 0;
  uint64_t memory_ = 0;
  uint64_t root_ = 0;
  uint64_t vcpu_memory_ = 0;
  uint64_t stock_ = 0;
  uint64_t run_page_ = 0;
};

}  // namespace holdfast::story

#endif  // HOLDFAST_TESTS_STORY_VM_H_
