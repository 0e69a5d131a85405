// SPDX-License-Identifier: Apache-2.0
//
// What the story asks of a host kernel: hypercalls, its own loads and stores,
// its CPUs, a console. Implemented by the EL1 payload on QEMU and by a test on
// the simulated machine; the story is the same source on both.
#ifndef HOLDFAST_TESTS_STORY_HOST_H_
#define HOLDFAST_TESTS_STORY_HOST_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace holdfast::story {

// x0..x3 after a hypercall.
struct Reply {
  uint64_t x0 = 0;
  uint64_t x1 = 0;
  uint64_t x2 = 0;
  uint64_t x3 = 0;
};

// One load or store of the host: done, or an abort that EL2 put into the host.
struct Access {
  bool done = false;
  uint64_t value = 0;     // of a load that was done
  bool external = false;  // the abort was a synchronous external abort
};

class Host {
 public:
  // The machine the story runs on, for its first line.
  virtual const char* machine() const = 0;
  virtual bool colour() const = 0;
  virtual unsigned cpus() const = 0;

  // HVC #0 on the calling CPU.
  Reply Call(uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0, uint64_t x3 = 0,
             uint64_t x4 = 0, uint64_t x5 = 0) {
    return Hypercall({id, x1, x2, x3, x4, x5});
  }
  // A 64-bit load or store at a physical address, as the host (EL1).
  virtual Access Load(uint64_t address) = 0;
  virtual Access Store(uint64_t address, uint64_t value) = 0;

  // A run of `count` frames of the host's RAM that nothing else uses, aligned
  // to `align` frames (a power of two). Never given back.
  virtual uint64_t Frames(uint64_t count, uint64_t align) = 0;
  virtual uint64_t page_size() const = 0;
  // Frames of different kinds, for calls that must be refused.
  virtual uint64_t el2_frame() const = 0;         // of EL2's own image
  virtual uint64_t mmio_frame() const = 0;        // a device the host may use
  virtual uint64_t first_ram_frame() const = 0;   // no RAM lies below
  virtual uint64_t beyond_ram_frame() const = 0;  // nor from here on
  virtual unsigned pa_bits() const = 0;

  // Runs `body(context, i)` for i = 0, 1 on two CPUs at once; back when both
  // are.
  virtual void OnTwoCpus(void (*body)(void* context, unsigned i),
                         void* context) = 0;

  // Whether guests run here; the two below are for machines where they do.
  virtual bool has_guests() const { return false; }
  // A load by the guest whose vCPU is loaded on the calling CPU. False: it
  // trapped to EL2 instead, which took note of that.
  virtual bool GuestTouch(uint64_t ipa) {
    static_cast<void>(ipa);
    return false;
  }
  // A call of that guest's on one of its pages: its x0.
  virtual uint64_t GuestCall(uint64_t id, uint64_t ipa) {
    static_cast<void>(id);
    static_cast<void>(ipa);
    return ~uint64_t{0};
  }

  // Asks the fw_cfg device to write into the page at `target` by DMA. Says
  // whether the device took the request (false: the access to it was refused).
  virtual bool TryFwCfgDma(uint64_t target) = 0;
  virtual bool has_fw_cfg() const = 0;

  virtual void Print(const char* text) = 0;

 protected:
  // x0..x5 of an HVC.
  virtual Reply Hypercall(const std::array<uint64_t, 6>& x) = 0;
  ~Host() = default;
};

}  // namespace holdfast::story

#endif  // HOLDFAST_TESTS_STORY_HOST_H_
