// SPDX-License-Identifier: Apache-2.0
#include "tests/stream/casemate_grammar.h"

#include <cctype>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace holdfast::stream {
namespace {

constexpr uint64_t kPage = 4096;

// An atom, a string (with its quotes), or a list.
struct Term {
  std::string atom;
  std::vector<Term> list;
  bool is_list = false;
};

class Reader {
 public:
  explicit Reader(absl::string_view text) : text_(text) {}

  bool AtEnd() {
    Skip();
    return text_.empty();
  }
  std::optional<Term> Next() {
    Skip();
    if (text_.empty()) return std::nullopt;
    Term term;
    if (absl::ConsumePrefix(&text_, "(")) {
      term.is_list = true;
      for (;;) {
        Skip();
        if (absl::ConsumePrefix(&text_, ")")) return term;
        std::optional<Term> inner = Next();
        if (!inner.has_value()) return std::nullopt;
        term.list.push_back(*std::move(inner));
      }
    }
    size_t size = 0;
    if (text_[0] == '"') {
      size = text_.find('"', 1);
      if (size == absl::string_view::npos) return std::nullopt;
      ++size;
    } else {
      while (size < text_.size() && text_[size] != '(' && text_[size] != ')' &&
             std::isspace(static_cast<unsigned char>(text_[size])) == 0) {
        ++size;
      }
      if (size == 0) return std::nullopt;
    }
    term.atom = std::string(text_.substr(0, size));
    text_.remove_prefix(size);
    return term;
  }

 private:
  void Skip() {
    while (!text_.empty() &&
           std::isspace(static_cast<unsigned char>(text_[0])) != 0) {
      text_.remove_prefix(1);
    }
  }
  absl::string_view text_;
};

std::optional<uint64_t> Decimal(const Term& term) {
  uint64_t value = 0;
  if (term.is_list || !absl::SimpleAtoi(term.atom, &value)) return std::nullopt;
  return value;
}
std::optional<uint64_t> Hex(const Term& term) {
  uint64_t value = 0;
  if (term.is_list || !absl::SimpleHexAtoi(term.atom, &value))
    return std::nullopt;
  return value;
}

// Fields of one record, taken in order.
class Fields {
 public:
  explicit Fields(const Term& record) : record_(record) {}

  const Term* Next() {
    return at_ < record_.list.size() ? &record_.list[at_++] : nullptr;
  }
  // (key value), or null.
  const Term* Keyed(absl::string_view key) {
    const Term* const term = Next();
    if (term == nullptr || term->list.size() != 2 || term->list[0].is_list ||
        term->list[0].atom != key) {
      return nullptr;
    }
    return &term->list[1];
  }
  std::optional<uint64_t> KeyedHex(absl::string_view key) {
    const Term* const value = Keyed(key);
    return value == nullptr ? std::nullopt : Hex(*value);
  }
  std::string Word() {
    const Term* const term = Next();
    return term == nullptr || term->is_list ? "" : term->atom;
  }
  std::string KeyedWord(absl::string_view key) {
    const Term* const value = Keyed(key);
    return value == nullptr || value->is_list ? "" : value->atom;
  }
  bool AtEnd() const { return at_ == record_.list.size(); }

 private:
  const Term& record_;
  size_t at_ = 0;
};

class Model {
 public:
  // "" or what is wrong.
  std::string Take(const Term& record) {
    Fields fields(record);
    const std::string name = fields.Word();
    const Term* const id = fields.Keyed("id");
    if (id == nullptr || !Decimal(*id).has_value()) return "no (id N)";
    const Term* const tid = fields.Keyed("tid");
    const auto tid_number = tid != nullptr ? Decimal(*tid) : std::nullopt;
    if (!tid_number.has_value() || *tid_number >= 4)
      return "no (tid N) with N below 4";
    tid_ = *tid_number;
    std::string wrong = Body(name, fields);
    if (!wrong.empty()) return wrong;
    const std::string src = fields.KeyedWord("src");
    const size_t colon = src.rfind(':');
    if (src.size() < 5 || src[0] != '"' || colon == std::string::npos ||
        colon < 2 || colon + 2 >= src.size()) {
      return "no (src \"file:line\")";
    }
    if (!fields.AtEnd()) return "something after src";
    return "";
  }

 private:
  std::string Body(const std::string& name, Fields& fields) {
    if (name == "mem-init") return MemInit(fields);
    if (name == "mem-write") return MemWrite(fields);
    if (name == "barrier") return Barrier(fields);
    if (name == "tlbi") return Tlbi(fields);
    if (name == "sysreg-write") return SysReg(fields);
    if (name == "hint") return Hint(fields);
    if (name == "lock" || name == "unlock") return Lock(name, fields);
    return absl::StrCat("no record is called '", name, "'");
  }

  std::string MemInit(Fields& fields) {
    const auto address = fields.KeyedHex("address");
    const auto size = fields.KeyedHex("size");
    if (!address.has_value() || !size.has_value())
      return "mem-init wants (address H) (size H)";
    if (*address % kPage != 0 || *size % kPage != 0 || *size == 0)
      return "mem-init of no whole pages";
    for (uint64_t page = *address; page < *address + *size; page += kPage) {
      if (parents_.contains(page)) return "mem-init of a linked table";
      known_.insert(page);
      for (uint64_t at = page; at < page + kPage; at += 8) words_.erase(at);
    }
    return known_.size() <= 8192 ? "" : "more than 8192 pages";
  }

  std::string MemWrite(Fields& fields) {
    const std::string order = fields.KeyedWord("mem-order");
    if (order != "plain" && order != "release")
      return "mem-write wants (mem-order plain|release)";
    const auto address = fields.KeyedHex("address");
    const auto value = fields.KeyedHex("value");
    if (!address.has_value() || !value.has_value())
      return "mem-write wants (address H) (value H)";
    if (*address % 8 != 0) return "mem-write of no whole word";
    const uint64_t page = *address & ~(kPage - 1);
    if (!known_.contains(page)) return "mem-write to a page with no mem-init";
    const auto parent = parents_.find(page);
    if (parent != parents_.end()) {
      const Linked linked = parent->second;
      const auto lock = root_locks_.find(linked.root);
      if (lock == root_locks_.end()) return "mem-write to a root with no lock";
      const auto holder = locks_.find(lock->second);
      if (holder == locks_.end() || holder->second != tid_)
        return "mem-write to a table whose lock the thread does not hold";
      if (order == "plain" && std::exchange(written_plain_, true))
        return "a second plain mem-write in a lock section";
      if (linked.level == 3 && (*value & 3) == 1)
        return "an invalid encoding at level 3";
      const uint64_t old = words_[*address];
      if (linked.level < 3) {
        if ((old & 3) == 3) Unlink(Table(old), linked.level + 1);
        if ((*value & 3) == 3) {
          words_[*address] = *value;
          return Link(Table(*value), linked.level + 1, linked.root);
        }
      }
    }
    words_[*address] = *value;
    return "";
  }

  static uint64_t Table(uint64_t raw) { return raw & 0xffff'ffff'f000; }

  std::string Link(uint64_t page, int level, uint64_t root) {
    if (!known_.contains(page)) return "a table is linked with no mem-init";
    const auto owner = owners_.find(page);
    if (owner == owners_.end() || owner->second != root)
      return "a table is linked that has no set_owner_root for this root";
    if (parents_.contains(page)) return "a table is linked twice";
    parents_[page] = {root, level};
    if (level == 3) return "";
    for (uint64_t at = page; at < page + kPage; at += 8) {
      const auto word = words_.find(at);
      if (word == words_.end() || (word->second & 3) != 3) continue;
      if (std::string wrong = Link(Table(word->second), level + 1, root);
          !wrong.empty()) {
        return wrong;
      }
    }
    return "";
  }
  void Unlink(uint64_t page, int level) {
    parents_.erase(page);
    if (level == 3) return;
    for (uint64_t at = page; at < page + kPage; at += 8) {
      const auto word = words_.find(at);
      if (word != words_.end() && (word->second & 3) == 3)
        Unlink(Table(word->second), level + 1);
    }
  }

  std::string Barrier(Fields& fields) {
    const std::string kind = fields.Word();
    written_plain_ = false;
    if (kind == "isb") return "";
    if (kind != "dsb") return "barrier wants isb or dsb";
    const std::string domain = fields.KeyedWord("kind");
    // The parser takes nsh too; the model has no use for it.
    return domain == "ish" || domain == "ishst" ? ""
                                                : "dsb wants (kind ish|ishst)";
  }

  std::string Tlbi(Fields& fields) {
    const std::string kind = fields.Word();
    if (kind == "ipas2e1is") {
      if (!fields.KeyedHex("value").has_value())
        return "ipas2e1is wants (value H)";
    } else if (kind != "vmalls12e1is" && kind != "vmalle1is" &&
               kind != "alle1is") {
      return absl::StrCat("no TLBI '", kind, "'");
    }
    if (kind != "alle1is" && !vttbr_.contains(tid_))
      return "a TLBI with no vttbr_el2 on this thread";
    return "";
  }

  std::string SysReg(Fields& fields) {
    const std::string name = fields.KeyedWord("sysreg");
    const auto value = fields.KeyedHex("value");
    if (!value.has_value()) return "sysreg-write wants (value H)";
    if (name == "vtcr_el2") {
      const uint64_t t0sz = *value & 0x3f;
      if (t0sz != 16 && t0sz != 25 && t0sz != 34)
        return "T0SZ that makes concatenated roots";
      start_level_ = t0sz == 16 ? 0 : t0sz == 25 ? 1 : 2;
      return "";
    }
    if (name != "vttbr_el2") return absl::StrCat("no sysreg '", name, "'");
    if (!start_level_.has_value()) return "vttbr_el2 before vtcr_el2";
    const uint64_t root = *value & 0xffff'ffff'f000;
    const uint64_t vmid = *value >> 48;
    if (!known_.contains(root)) return "a root with no mem-init";
    if (!root_locks_.contains(root)) return "a root with no set_root_lock";
    const auto [at, fresh] = vmid_roots_.try_emplace(vmid, root);
    if (at->second != root) return "a VMID with two roots";
    if (fresh) {
      for (const auto& [other, its_root] : vmid_roots_) {
        if (its_root == root && other != vmid) return "a root with two VMIDs";
      }
    }
    parents_.try_emplace(root, Linked{root, *start_level_});
    vttbr_[tid_] = root;
    return vmid_roots_.size() <= 64 ? "" : "more than 64 VMIDs";
  }

  std::string Hint(Fields& fields) {
    const std::string kind = fields.KeyedWord("kind");
    const auto location = fields.KeyedHex("location");
    const auto value = fields.KeyedHex("value");
    if (!location.has_value() || !value.has_value())
      return "hint wants (kind K) (location H) (value H)";
    if (kind == "set_root_lock") {
      root_locks_[*location] = *value;
      return root_locks_.size() <= 64 ? "" : "more than 64 roots";
    }
    if (kind == "set_owner_root") {
      if (!known_.contains(*location)) return "an owner root with no mem-init";
      owners_[*location] = *value;
      return "";
    }
    if (kind != "release_table") return absl::StrCat("no hint '", kind, "'");
    for (const auto& [thread, root] : vttbr_) {
      if (root == *location) return "release_table of a root that is loaded";
    }
    Unlink(*location, *start_level_);
    root_locks_.erase(*location);
    for (auto it = vmid_roots_.begin(); it != vmid_roots_.end();) {
      const auto here = it++;
      if (here->second == *location) vmid_roots_.erase(here);
    }
    return "";
  }

  std::string Lock(const std::string& name, Fields& fields) {
    const auto address = fields.KeyedHex("address");
    if (!address.has_value()) return "a lock wants (address H)";
    written_plain_ = false;
    if (name == "lock") {
      return locks_.try_emplace(*address, tid_).second ? ""
                                                       : "a lock taken twice";
    }
    const auto holder = locks_.find(*address);
    if (holder == locks_.end() || holder->second != tid_)
      return "an unlock by who does not hold it";
    locks_.erase(holder);
    return "";
  }

  struct Linked {
    uint64_t root;
    int level;
  };

  uint64_t tid_ = 0;
  std::optional<int> start_level_;
  bool written_plain_ = false;
  absl::flat_hash_set<uint64_t> known_;
  absl::flat_hash_map<uint64_t, uint64_t> words_;
  absl::flat_hash_map<uint64_t, Linked> parents_;
  absl::flat_hash_map<uint64_t, uint64_t> owners_;
  absl::flat_hash_map<uint64_t, uint64_t> root_locks_;
  absl::flat_hash_map<uint64_t, uint64_t> vmid_roots_;
  absl::flat_hash_map<uint64_t, uint64_t> vttbr_;  // by thread
  absl::flat_hash_map<uint64_t, uint64_t> locks_;
};

}  // namespace

std::string CasemateTrouble(absl::string_view text) {
  Reader reader(text);
  Model model;
  for (uint64_t number = 0; !reader.AtEnd(); ++number) {
    const std::optional<Term> record = reader.Next();
    const std::string wrong = !record.has_value() || !record->is_list
                                  ? "no (record ...)"
                                  : model.Take(*record);
    if (!wrong.empty()) return absl::StrCat("record ", number, ": ", wrong);
  }
  return "";
}

}  // namespace holdfast::stream
