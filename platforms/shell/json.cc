// SPDX-License-Identifier: Apache-2.0
//
// The transcript for programs: one JSON object a line.
//
//   schema    1; changes if a program that reads these lines would have to
//   file, line, command    what was done
//   kind      call, registers, guest-call, value, done, same, differs, abort,
//             exit, stopped, text, bad-line, failure
//   cpu, what, result      as the text has them; result: what `expect` compares
//   x0..x3    hexadecimal strings: of call, registers, guest-call
//   errno     "EPERM" and so on, or null: of call
//   tries     calls that `finish` made, if more than one
//   value     hexadecimal string: of value
//   reason, detail         of abort, exit, stopped
//   lines     of text
//   changes   what is different now, a string each
//   column, right          of bad-line; status: of failure
#include "nlohmann/json.hpp"

#include "absl/strings/str_format.h"
#include "base/result.h"
#include "platforms/shell/renderer.h"

namespace holdfast::shell {
namespace {

using Json = nlohmann::ordered_json;
using Kind = Outcome::Kind;

constexpr int kSchema = 1;

std::string Hex(uint64_t value) { return absl::StrFormat("0x%x", value); }

const char* KindName(Kind kind) {
  switch (kind) {
    case Kind::kNothing:
      return "nothing";
    case Kind::kText:
      return "text";
    case Kind::kCall:
      return "call";
    case Kind::kRegisters:
      return "registers";
    case Kind::kGuestCall:
      return "guest-call";
    case Kind::kValue:
      return "value";
    case Kind::kDone:
      return "done";
    case Kind::kSame:
      return "same";
    case Kind::kDiffers:
      return "differs";
    case Kind::kAbort:
      return "abort";
    case Kind::kExit:
      return "exit";
    case Kind::kStopped:
      return "stopped";
  }
  return "?";
}

Json Start(const Place& place, const std::string& line, const char* kind) {
  return {{"schema", kSchema},
          {"file", place.file},
          {"line", place.line},
          {"command", line},
          {"kind", kind}};
}

// A line in a file may be no UTF-8: what is not, is replaced.
std::string Line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

void AddRegisters(const tests::Reply& reply, Json* json) {
  (*json)["x0"] = Hex(reply.x0);
  (*json)["x1"] = Hex(reply.x1);
  (*json)["x2"] = Hex(reply.x2);
  (*json)["x3"] = Hex(reply.x3);
}

void AddErrno(const tests::Reply& reply, Json* json) {
  if (reply.x0 == 0 && reply.result() < 0) {
    (*json)["errno"] = ErrnoName(static_cast<Errno>(-reply.result()));
  } else {
    (*json)["errno"] = nullptr;
  }
}

class JsonRenderer final : public Renderer {
 public:
  std::string Of(const Place& place, const std::string& line,
                 const Outcome& outcome) override {
    Json json = Start(place, line, KindName(outcome.kind));
    if (outcome.kind == Kind::kText) {
      json["lines"] = outcome.text;
      return Line(json);
    }
    json["cpu"] = outcome.cpu;
    json["what"] = outcome.what;
    json["result"] = outcome.ResultText();
    switch (outcome.kind) {
      case Kind::kCall:
        AddRegisters(outcome.reply, &json);
        AddErrno(outcome.reply, &json);
        if (outcome.tries > 1) json["tries"] = outcome.tries;
        break;
      case Kind::kRegisters:
      case Kind::kGuestCall:
        AddRegisters(outcome.reply, &json);
        break;
      case Kind::kValue:
        json["value"] = Hex(outcome.value);
        break;
      case Kind::kAbort:
      case Kind::kExit:
      case Kind::kStopped:
        json["reason"] = outcome.reason;
        json["detail"] = outcome.detail;
        break;
      default:
        break;
    }
    json["changes"] = outcome.changes;
    return Line(json);
  }

  std::string OfBadLine(const Place& place, const std::string& line,
                        const BadLine& bad) override {
    Json json = Start(place, line, "bad-line");
    json["column"] = bad.column;
    json["what"] = bad.what;
    json["right"] = bad.right;
    return Line(json);
  }

  std::string OfFailure(const Place& place, const std::string& line,
                        Failure failure, const std::string& what) override {
    Json json = Start(place, line, "failure");
    json["status"] = static_cast<int>(failure);
    json["what"] = what;
    return Line(json);
  }
};

}  // namespace

std::unique_ptr<Renderer> MakeJsonRenderer() {
  return std::make_unique<JsonRenderer>();
}

}  // namespace holdfast::shell
