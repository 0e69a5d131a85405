// SPDX-License-Identifier: Apache-2.0
//
// The stock of table pages of one table: a last-in first-out list of zeroed
// pages that runs through the first word of each free page; and below it a run
// that nobody has touched yet, so that a large stock costs nothing before it is
// used. It has no lock of its own: it belongs to a table and is guarded by that
// table's lock. It knows nothing of tables, and never holds a page a host can
// reach.
//
// The link is a page address, so its bit 0 is clear: should a stale walker ever
// read it, it is an invalid entry.
#ifndef HOLDFAST_PGTABLE_POOL_H_
#define HOLDFAST_PGTABLE_POOL_H_

#include <cstdint>
#include <optional>

#include "base/addr.h"
#include "base/check.h"
#include "base/machine.h"
#include "base/result.h"

namespace holdfast::pgtable {

template <class G>
class PagePool {
 public:
  // Pages set aside for one commit. Nobody else can pop them; what was not
  // taken goes back when it ends, which must be before the table's lock is
  // released.
  class [[nodiscard]] Reservation {
   public:
    Reservation() = default;
    Reservation(Reservation&& other) noexcept
        : pool_(other.pool_), remaining_(other.remaining_) {
      other.remaining_ = 0;
    }
    Reservation& operator=(Reservation&& other) noexcept {
      if (this != &other) {
        Return();
        pool_ = other.pool_;
        remaining_ = other.remaining_;
        other.remaining_ = 0;
      }
      return *this;
    }
    ~Reservation() { Return(); }

    // Pages not taken yet.
    uint32_t remaining() const { return remaining_; }
    // One zeroed page. There must be one left (CHECKed).
    PhysAddr Take() {
      HOLDFAST_CHECK(remaining_ > 0);
      --remaining_;
      --pool_->reserved_;
      return pool_->PopHead();
    }

   private:
    friend class PagePool;
    Reservation(PagePool* pool, uint32_t pages)
        : pool_(pool), remaining_(pages) {}
    void Return() {
      if (remaining_ != 0) pool_->reserved_ -= remaining_;
      remaining_ = 0;
    }

    PagePool* pool_ = nullptr;
    uint32_t remaining_ = 0;
  };

  PagePool() = default;
  PagePool(const PagePool&) = delete;
  PagePool& operator=(const PagePool&) = delete;

  // Adds `page`, which must be page aligned (CHECKed) and all zero.
  void Push(PhysAddr page) {
    HOLDFAST_CHECK(page.IsAligned(G::kPageSize));
    uint64_t* const words = static_cast<uint64_t*>(machine::PhysToVirt(page));
    HOLDFAST_CHECK(words[0] == 0);
    words[0] = head_;
    head_ = page.value();
    ++pages_;
  }

  // Adds `pages` pages from `start` on, page aligned and all zero, to an empty
  // pool (CHECKed). Popped last page first, and looked at only then.
  void PushRun(PhysAddr start, uint32_t pages) {
    HOLDFAST_CHECK(pages_ == 0 && start.IsAligned(G::kPageSize));
    run_ = start;
    run_pages_ = pages;
    pages_ = pages;
  }

  // Pages that can be popped or reserved: all but those reserved or deposited.
  uint32_t free() const { return pages_ - reserved_ - deposits_; }

  // A zeroed page for any use, or nothing if none is free.
  std::optional<PhysAddr> Pop() {
    if (free() == 0) return std::nullopt;
    return PopHead();
  }

  // Sets `pages` aside. ENOMEM if there are fewer free ones; nothing changes
  // then.
  Result<Reservation> Reserve(uint32_t pages) {
    if (pages > free()) return Error(Errno::kEnomem);
    reserved_ += pages;
    return Reservation(this, pages);
  }

  // Deposits: pages promised to changes to come, which must not find the stock
  // empty (the table that a block will be split into). Unlike a reservation, a
  // deposit outlives the lock.

  // One page of `reservation` (there must be one: CHECKed) becomes a deposit.
  void Deposit(Reservation& reservation) {
    HOLDFAST_CHECK(reservation.pool_ == this && reservation.remaining_ > 0);
    --reservation.remaining_;
    --reserved_;
    ++deposits_;
  }
  // One deposit (there must be one: CHECKed) becomes a reservation again.
  Reservation Withdraw() {
    HOLDFAST_CHECK(deposits_ > 0);
    --deposits_;
    ++reserved_;
    return Reservation(this, 1);
  }
  uint32_t deposits() const { return deposits_; }

 private:
  friend class PoolInspector;  // of checkers, in tests/

  PhysAddr PopHead() {
    if (pages_-- == run_pages_) return PopRun();
    const PhysAddr page(head_);
    uint64_t* const words = static_cast<uint64_t*>(machine::PhysToVirt(page));
    head_ = words[0];
    words[0] = 0;
    machine::OnTablePage(page);
    return page;
  }

  PhysAddr PopRun() {
    --run_pages_;
    const PhysAddr page = run_ + uint64_t{run_pages_} * G::kPageSize;
    HOLDFAST_CHECK(*static_cast<uint64_t*>(machine::PhysToVirt(page)) == 0);
    machine::OnTablePage(page);
    return page;
  }

  // Physical address of the last page pushed, if pages_ > run_pages_.
  uint64_t head_ = 0;
  PhysAddr run_{0};
  uint32_t run_pages_ = 0;
  uint32_t pages_ = 0;  // of the list and the run
  uint32_t reserved_ = 0;
  uint32_t deposits_ = 0;
};

}  // namespace holdfast::pgtable

#endif  // HOLDFAST_PGTABLE_POOL_H_
