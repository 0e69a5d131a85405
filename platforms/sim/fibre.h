// SPDX-License-Identifier: Apache-2.0
//
// A thread of control without a thread: it runs until it pauses or ends, on the
// thread that resumes it. What schedulers of a simulated machine make CPUs of
// when only one of them may move at a time: a switch costs a fraction of a
// microsecond, and nothing depends on the host's scheduler.
//
// Sanitizers are told of each switch. Knows nothing of machines but that the
// CPU a thread is (cpu.h) goes with the fibre.
#ifndef HOLDFAST_PLATFORMS_SIM_FIBRE_H_
#define HOLDFAST_PLATFORMS_SIM_FIBRE_H_

#include <functional>
#include <memory>

namespace holdfast::sim {

class Fibre {
 public:
  // Nothing runs before the first Resume.
  explicit Fibre(std::function<void()> work);
  // It must have ended, or never begun.
  ~Fibre();
  Fibre(const Fibre&) = delete;
  Fibre& operator=(const Fibre&) = delete;

  // Runs it until it pauses or ends. On the thread that made it, from without.
  void Resume();
  // Back to whoever resumed it. From within.
  void Pause();
  bool ended() const { return ended_; }

 private:
  struct Stack;

  static void Entry(unsigned high, unsigned low);
  void Run();

  std::function<void()> work_;
  std::unique_ptr<Stack> stack_;
  bool begun_ = false;
  bool ended_ = false;
};

}  // namespace holdfast::sim

#endif  // HOLDFAST_PLATFORMS_SIM_FIBRE_H_
