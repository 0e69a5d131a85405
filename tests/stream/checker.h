// SPDX-License-Identifier: Apache-2.0
//
// Replays an event stream and finds what no correct EL2 does. It works from the
// stream alone (platforms/stream/event.h): tables are what was stored, what
// CPUs may still have cached is what was taken out and not yet invalidated
// (debts.h), whose a page is is what EL2 said. So it can check any machine that
// writes the stream; with the simulated machine's own model it shares nothing.
//
// The stream must begin at boot: tables that it did not see made are not looked
// at. It knows no EL2 library.
#ifndef HOLDFAST_TESTS_STREAM_CHECKER_H_
#define HOLDFAST_TESTS_STREAM_CHECKER_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "base/cpu_local.h"
#include "platforms/stream/event.h"
#include "tests/stream/debts.h"
#include "tests/stream/shadow.h"

namespace holdfast::stream {

enum class Rule : uint8_t {
  // A valid entry became another valid one, not by way of an invalid one, and
  // more than rights, access flag or software's bits changed (D8.17.1).
  kBreakBeforeMake,
  // An entry became valid while an old translation of its addresses may still
  // be cached: the break was not complete (D8.17.1).
  kMakeOverOld,
  // A table's lock was released, or the stream ended, with an old translation
  // of that table still to be had from some TLB.
  kUnclean,
  // A table's lock was released before a DSB had completed its stores.
  kUnfinishedStores,
  kStoreWithoutLock,
  // A table was linked by a plain store: walkers may follow the link and not
  // see what it links (B2.3; PublishPte is a store-release).
  kPlainLink,
  // A table was linked whose page was not seen to be zero since it was last
  // something else, or was not as the stores say.
  kPrefilledTable,
  // A table was linked whose page is mapped, a table elsewhere, or can still be
  // reached by an old translation; or such a page was mapped.
  kTableInUse,
  // An encoding that the architecture reserves at its level.
  kReservedEncoding,
  // A page was given to an owner while another's mapping of it is in a table,
  // or may still be cached.
  kHandover,
  // A page was given to the host that had been another's, and had not been
  // zeroed, and cleaned to PoC, after that other was gone.
  kNotZeroed,
  // A page was given to a guest without a clean to PoC after the host was gone.
  kNotCleaned,
  // A page went to a guest, or came back from one, with the instructions that
  // it
  // held before still in the I-cache (where the CPU does not see to that: DIC).
  kNotFetchedAnew,
  // A page was zeroed while somebody but EL2 could reach it.
  kZeroedInUse,
  // EL2 says that the host has no part in a page that the host's table maps.
  kStateAndTable,
  // A VMID was given to a new table, with no full invalidation since its old
  // one was used.
  kVmidReuse,
  // A call that loaded a vCPU where another of its VM was ended with the
  // other's
  // translations still to be had: they hold for one vCPU's stage 1.
  kOtherVcpu,
  // TLB maintenance of "the current VMID" with none entered; contexts nested,
  // or left when none was entered, or not those that were announced.
  kContext,
  // A lock taken that is held, or released by another CPU.
  kLock,
  // What the stream says of memory or calls contradicts what it said before.
  kStream,
};
inline constexpr size_t kRules = static_cast<size_t>(Rule::kStream) + 1;
const char* RuleName(Rule rule);

struct Finding {
  Rule rule = Rule::kStream;
  uint64_t event = 0;             // where it showed
  std::optional<uint64_t> cause;  // where it began, if elsewhere
  std::string what;
};
// "#12 handover: ... (since #9)".
std::string ToString(const Finding& finding);

struct Counts {
  uint64_t events = 0;
  uint64_t calls = 0;
  uint64_t aborts = 0;
  uint64_t locks = 0;   // sections
  uint64_t stores = 0;  // to live tables
  uint64_t tlbis = 0;
  uint64_t barriers = 0;
  uint64_t old = 0;  // translations taken out, and seen to be invalidated
  uint64_t links = 0;
  uint64_t handovers = 0;
  uint64_t zeroed = 0;
};

class Checker {
 public:
  void Feed(const Event& event);
  // After the last event.
  void Finish();

  const std::vector<Finding>& findings() const { return findings_; }
  Counts counts() const;

 private:
  struct Table {
    unsigned vmid = 0;
    uint64_t root = 0;
    uint64_t vttbr = 0;
    uint64_t vtcr = 0;
    uint64_t lock = 0;  // 0: none
    Format format;
  };
  // A page of words in a live tree.
  struct Node {
    unsigned vmid = 0;
    int level = 0;
    uint64_t ipa = 0;
  };
  // A leaf of a guest's.
  struct Leaf {
    unsigned vmid = 0;
    uint64_t ipa = 0;
    uint64_t size = 0;
    unsigned state = 0;
  };
  struct PageFacts {
    unsigned host = 0;  // PageState
    unsigned hyp = 3;
    // Since nobody but EL2 could reach it.
    bool zero = false;
    bool clean = false;
    bool fetched_anew = false;      // no instruction of before is cached
    std::optional<unsigned> guest;  // by VMID: the last to have it alone
  };
  struct CpuState {
    std::optional<uint64_t> vttbr;  // entered
    // Stores that no DSB has completed yet, by lock: the last.
    absl::flat_hash_map<uint64_t, uint64_t> stores;
    std::optional<uint64_t> call;  // its id
    // Pages that the host lost since its lock was taken.
    std::vector<uint64_t> lost;
    // By handle: the vCPU that was loaded here last.
    absl::flat_hash_map<uint64_t, uint64_t> last_vcpu;
    // The VMID whose translations the call under way has to drop here, and how
    // far it is.
    std::optional<unsigned> stale_vmid;
    bool stale_flushed = false;
  };
  struct VmidUse {
    bool used = false;
    bool flushed = true;
    uint8_t flushing = 0;  // CPUs that owe the DSB
  };

  void Report(Rule rule, std::string what,
              std::optional<uint64_t> cause = std::nullopt);
  Table* TableOf(unsigned vmid);
  PageFacts& Facts(uint64_t pa) { return facts_[shadow_.PageOf(pa)]; }

  void TableCreated(const Event& event);
  void TableDestroyed(const Event& event);
  void HypTableMade(const Event& event);
  void Stored(const Event& event);
  void Changed(const Node& node, uint64_t at, uint64_t before, uint64_t after,
               bool release);
  void Made(const Table& table, const Node& node, uint64_t at, uint64_t ipa,
            const Entry& entry);
  void Link(const Table& table, uint64_t page, int level, uint64_t ipa);
  void Unlink(const Table& table, uint64_t page, int level, uint64_t ipa,
              bool walk_cache);
  void AddLeaf(const Table& table, uint64_t at, uint64_t ipa, uint64_t size,
               const Entry& entry);
  void RemoveLeaf(uint64_t at, const Entry& entry);
  void Owe(const Table& table, uint64_t ipa, int level, const Entry& entry);

  void Barrier(const Event& event);
  void Tlbi(const Event& event);
  void Context(const Event& event);
  void Lock(const Event& event);
  void Unlock(const Event& event);
  void PageOperation(const Event& event);
  void PageState(const Event& event);
  void GivenToGuest(unsigned vmid, uint64_t pa, uint64_t size, bool was_there);
  void Call(const Event& event);
  void VmState(const Event& event);
  void Vcpu(const Event& event);

  // Why `owner` (a VMID) is not the only one who can reach the page, or "".
  // `cause` gets the event to blame.
  std::string OthersReach(uint64_t pa, unsigned owner,
                          std::optional<uint64_t>* cause);
  // What the table of `vmid` says of an address.
  std::optional<Entry> Walk(unsigned vmid, uint64_t ipa) const;
  std::optional<Leaf> GuestLeafOver(uint64_t pa, uint64_t size,
                                    unsigned but_vmid) const;

  const Event* at_ = nullptr;  // being fed
  // Boot is over. Until then EL2's own table is no CPU's.
  bool host_runs_ = false;
  bool dic_ = true;  // unless kMachine said otherwise
  absl::flat_hash_map<uint64_t, uint64_t> roots_;  // of VMs, by handle
  unsigned tiny_shift_ = 0;  // kMachine's page shift, if it said one
  Shadow shadow_;
  Debts debts_;
  std::map<unsigned, Table> tables_;
  absl::flat_hash_map<uint64_t, Node> nodes_;
  // By address, and the entry's.
  absl::btree_map<std::pair<uint64_t, uint64_t>, Leaf> leaves_;
  uint64_t largest_leaf_ = 0;
  absl::flat_hash_map<uint64_t, PageFacts> facts_;
  absl::flat_hash_map<uint64_t, unsigned> locks_;
  std::map<unsigned, VmidUse> vmids_;
  CpuState cpus_[kMaxCpus];
  Counts counts_;
  std::vector<Finding> findings_;
};

// All of it at once.
std::vector<Finding> Check(absl::Span<const Event> events);

}  // namespace holdfast::stream

#endif  // HOLDFAST_TESTS_STREAM_CHECKER_H_
