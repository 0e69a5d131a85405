// SPDX-License-Identifier: Apache-2.0
#include "platforms/stream/chrome.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "platforms/stream/line.h"

namespace holdfast::stream {
namespace {

// Names come from tables of ours: quotes and controls are all that could hurt.
std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c >= ' ' ? c : ' ';
  }
  return quoted + "\"";
}

class Writer {
 public:
  explicit Writer(const ChromeNames& names) : names_(names) {}

  std::string Write(absl::Span<const Event> events) {
    for (const Event& event : events) {
      if (!lanes_.contains(event.cpu)) Lane(event.cpu);
      One(event);
      last_ = event.seq;
    }
    // What is still open ends here.
    for (auto& [cpu, open] : lanes_) {
      while (!open.empty()) Close(cpu, last_ + 1, open.back().key);
    }
    return absl::StrCat("{\"traceEvents\":[\n", text_, "\n]}\n");
  }

 private:
  struct Span {
    uint64_t key;  // a lock, or kCall
    std::string name;
  };
  static constexpr uint64_t kCall = ~uint64_t{0};

  void Put(const std::string& object) {
    if (!text_.empty()) text_ += ",\n";
    text_ += object;
  }
  void Lane(unsigned cpu) {
    lanes_[cpu];
    Put(
        absl::StrFormat("{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":0,"
                        "\"tid\":%d,\"args\":{\"name\":\"CPU %d\"}}",
                        cpu, cpu));
  }
  void Begin(unsigned cpu, uint64_t at, const std::string& name) {
    Put(absl::StrFormat(
        "{\"name\":%s,\"ph\":\"B\",\"pid\":0,\"tid\":%d,\"ts\":%d}",
        Quoted(name), cpu, at));
  }
  void End(unsigned cpu, uint64_t at) {
    Put(absl::StrFormat("{\"ph\":\"E\",\"pid\":0,\"tid\":%d,\"ts\":%d}", cpu,
                        at));
  }
  void Open(unsigned cpu, uint64_t at, uint64_t key, const std::string& name) {
    lanes_[cpu].push_back({key, name});
    Begin(cpu, at, name);
  }
  // Spans of a lane nest; locks need not. What was opened after the one that
  // ends is interrupted.
  void Close(unsigned cpu, uint64_t at, uint64_t key) {
    std::vector<Span>& open = lanes_[cpu];
    const auto found =
        std::find_if(open.rbegin(), open.rend(),
                     [&](const Span& span) { return span.key == key; });
    if (found == open.rend()) return;
    const auto inner = found.base();  // the first after it
    for (auto it = open.end(); it != inner; --it) End(cpu, at);
    End(cpu, at);
    for (auto it = inner; it != open.end(); ++it) Begin(cpu, at, it->name);
    open.erase(inner - 1);
  }
  void Mark(const Event& event) {
    const EventShape& shape = ShapeOf(event.type);
    const Line whole(event);
    const std::string_view line = whole.text();
    const size_t name = line.find(shape.name);
    Put(
        absl::StrFormat("{\"name\":\"%s\",\"ph\":\"i\",\"s\":\"t\",\"pid\":0,"
                        "\"tid\":%d,\"ts\":%d,\"args\":{\"event\":%s}}",
                        shape.name, event.cpu, event.seq,
                        Quoted(std::string(line.substr(name)))));
  }
  void One(const Event& event) {
    switch (event.type) {
      case EventType::kCallEnter:
        Open(event.cpu, event.seq, kCall,
             names_.call ? names_.call(event.a)
                         : absl::StrFormat("call %#x", event.a));
        return;
      case EventType::kCallExit:
        Mark(event);
        Close(event.cpu, event.seq, kCall);
        return;
      case EventType::kLock:
        Open(event.cpu, event.seq, event.a,
             names_.lock ? names_.lock(event.a)
                         : absl::StrFormat("lock %#x", event.a));
        return;
      case EventType::kUnlock:
        Close(event.cpu, event.seq, event.a);
        return;
      default:
        Mark(event);
        return;
    }
  }

  const ChromeNames& names_;
  std::map<unsigned, std::vector<Span>> lanes_;
  uint64_t last_ = 0;
  std::string text_;
};

}  // namespace

std::string ToChrome(absl::Span<const Event> events, const ChromeNames& names) {
  return Writer(names).Write(events);
}

}  // namespace holdfast::stream
