// SPDX-License-Identifier: Apache-2.0
//
// The event stream of the image, as text, to the file holdfast.stream where
// QEMU was started. Only in images that are built to write it.
//
// EL2 hears nothing of QEMU's end (the host's payload asks for that itself), so
// what was collected is written whenever EL2 is about to return to the host.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "machine_recorder.h"
#include "platforms/qemu_virt/semihosting.h"
#include "platforms/stream/event.h"
#include "platforms/stream/line.h"

namespace holdfast::qemu_virt {
namespace {

constexpr char kFile[] = "holdfast.stream";

// No Spinlock: that one would record itself.
class RawLock {
 public:
  void Lock() {
    while (taken_.exchange(true, std::memory_order_acquire)) {
      asm volatile("yield");
    }
  }
  void Unlock() { taken_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> taken_{false};
};

class StreamFile {
 public:
  void Write(stream::Event event) {
    lock_.Lock();
    if (next_ == 0) {
      file_ = CreateFile({kFile, sizeof(kFile) - 1});
      Add(stream::kStreamHead);
    }
    event.seq = next_++;
    Add(stream::Line(event).text());
    Add("\n");
    if (IsLastOfAnEntry(event.type)) Flush();
    lock_.Unlock();
  }

 private:
  // Nothing but this CPU's way back to the host comes after.
  static bool IsLastOfAnEntry(stream::EventType type) {
    switch (type) {
      case stream::EventType::kCallExit:
      case stream::EventType::kHostAbort:
      case stream::EventType::kSmc:
      case stream::EventType::kVcpu:
        return true;
      default:
        return false;
    }
  }
  void Add(std::string_view text) {
    if (size_ + text.size() > sizeof(bytes_)) Flush();
    for (const char c : text) bytes_[size_++] = c;
  }
  void Flush() {
    // A stream with a hole is worse than none; its reader will say so.
    if (file_ >= 0 && !WriteFile(file_, bytes_, size_)) file_ = -1;
    size_ = 0;
  }

  RawLock lock_;
  int64_t file_ = -1;
  uint64_t next_ = 0;
  size_t size_ = 0;
  char bytes_[1 << 16] = {};
};

constinit StreamFile g_stream_file;

}  // namespace
}  // namespace holdfast::qemu_virt

namespace holdfast::aarch64 {

void BoardRecord(stream::Event event) { qemu_virt::g_stream_file.Write(event); }

}  // namespace holdfast::aarch64
