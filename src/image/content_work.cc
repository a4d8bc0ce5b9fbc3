#include "image/content_work.h"

#include <fcntl.h>

#include <algorithm>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/assert.h"

namespace mvr::image {
namespace {

constexpr std::size_t kBatch = 4 * ContentWork::kChunk;
// One thread reads some four times as fast as one digests.
constexpr unsigned kMostHelpers = 3;
constexpr std::uint64_t kWriteBehind = 8U << 20U;

std::string_view view(const sys::Sha256::Sum& sum) {
  return {reinterpret_cast<const char*>(sum.data()), sum.size()};
}

}  // namespace

unsigned ContentWork::spare_processors() {
  return std::clamp(std::thread::hardware_concurrency(), 1U, kMostHelpers + 1) - 1;
}

// One is filled, each thread has one, one waits.
ContentWork::ContentWork(int fd, ContentSums& sums, unsigned helpers)
    : fd_(fd), helpers_(helpers), batches_(helpers + 3), filling_(&batches_[0]), sums_(sums) {
  filling_->state = State::filling;
}

ContentWork::~ContentWork() { stop(); }

Result<char*> ContentWork::room() {
  if (filling_->used + kChunk > kBatch) {
    start_helpers();
    TRY(hand_over());
  }
  if (filling_->bytes.size() == 0) filling_->bytes = PageBuffer(kBatch);
  return filling_->bytes.data() + filling_->used;
}

void ContentWork::write(std::size_t at, Run where) {
  at += filling_->used;
  const std::size_t bytes = std::size_t{where.count} * kBlockSize;
  Piece* last = filling_->writes.empty() ? nullptr : &filling_->writes.back();
  if (last != nullptr && last->at + last->bytes == at &&
      last->block + last->bytes / kBlockSize == where.start) {
    last->bytes += bytes;
  } else {
    filling_->writes.push_back({at, bytes, where.start});
  }
}

void ContentWork::digest(std::size_t at, Run logical) {
  const std::size_t bytes = std::size_t{logical.count} * kBlockSize;
  filling_->runs.push_back({filling_->used + at, bytes, logical.start});
}

void ContentWork::end_chunk(std::size_t bytes) {
  filling_->used += bytes;
  MVR_ASSERT(filling_->used <= kBatch);
  const std::size_t before = filling_->chunks.empty() ? 0 : filling_->chunks.back();
  if (filling_->runs.size() > before) filling_->chunks.push_back(filling_->runs.size());
}

void ContentWork::end_content(std::uint32_t index) {
  filling_->ends.push_back({filling_->chunks.size(), index});
}

Result<void> ContentWork::settle(Run blocks) {
  if (filling_ != nullptr && has(*filling_, blocks)) TRY(hand_over());
  std::unique_lock lock(mutex_);
  const auto is_open = [&](const Batch& batch) {
    return batch.state == State::working && has(batch, blocks);
  };
  if (std::none_of(batches_.begin(), batches_.end(), is_open)) return failure_;
  return drain(lock);
}

Result<void> ContentWork::complete() {
  TRY(hand_over());
  std::unique_lock lock(mutex_);
  TRY(drain(lock));
  lock.unlock();
  stop();
  batches_.clear();  // what comes now needs memory of its own
  filling_ = nullptr;
  return {};
}

bool ContentWork::has(const Batch& batch, Run blocks) {
  return std::any_of(batch.writes.begin(), batch.writes.end(), [&](const Piece& piece) {
    return piece.block < blocks.start + blocks.count &&
           blocks.start < piece.block + piece.bytes / kBlockSize;
  });
}

Result<void> ContentWork::hand_over() {
  MVR_ASSERT(filling_->runs.size() == (filling_->chunks.empty() ? 0 : filling_->chunks.back()));
  std::unique_lock lock(mutex_);
  filling_->number = handed_over_++;
  filling_->state = State::working;
  changed_.notify_one();
  TRY_ASSIGN(filling_, next_spare(lock));
  filling_->state = State::filling;
  filling_->write = Step::open;
  filling_->digest = Step::open;
  filling_->used = 0;
  filling_->writes.clear();
  filling_->runs.clear();
  filling_->chunks.clear();
  filling_->ends.clear();
  filling_->sums.clear();
  return {};
}

// Whoever would wait works.
Result<ContentWork::Batch*> ContentWork::next_spare(std::unique_lock<std::mutex>& lock) {
  while (true) {
    TRY(failure_);
    for (Batch& batch : batches_) {
      if (batch.state == State::spare) return &batch;
    }
    if (!work(lock)) changed_.wait(lock);
  }
}

Result<void> ContentWork::drain(std::unique_lock<std::mutex>& lock) {
  while (folded_ < handed_over_) {
    if (!work(lock)) changed_.wait(lock);
  }
  return failure_;
}

ContentWork::Batch* ContentWork::oldest(Step Batch::*step) {
  Batch* found = nullptr;
  for (Batch& batch : batches_) {
    if (batch.state != State::working || batch.*step != Step::open) continue;
    if (found == nullptr || batch.number < found->number) found = &batch;
  }
  return found;
}

void ContentWork::start_helpers() {
  if (!threads_.empty()) return;
  try {
    while (threads_.size() < helpers_) threads_.emplace_back([this] { help(); });
  } catch (const std::system_error&) {
    // As many as the system gives: the caller's thread does what is left.
  }
}

void ContentWork::help() {
  std::unique_lock lock(mutex_);
  while (!is_over_) {
    if (!work(lock)) changed_.wait(lock);
  }
}

void ContentWork::stop() {
  {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

// One step of one batch, if any is open. A file is written by one thread at a time whatever is
// tried: the others would wait in the kernel.
bool ContentWork::work(std::unique_lock<std::mutex>& lock) {
  Batch* batch = is_writing_ ? nullptr : oldest(&Batch::write);
  const bool writes = batch != nullptr;
  if (!writes) batch = oldest(&Batch::digest);
  if (batch == nullptr) return false;
  Step& step = writes ? batch->write : batch->digest;
  step = Step::taken;
  const bool is_wanted = failure_.has_value();
  if (writes) is_writing_ = true;
  lock.unlock();
  Result<void> done;
  if (is_wanted && writes) done = write_out(*batch);
  if (is_wanted && !writes) digest_all(*batch);
  lock.lock();
  if (writes) is_writing_ = false;
  step = Step::done;
  if (failure_) failure_ = std::move(done);
  auto folded = fold();
  if (failure_) failure_ = std::move(folded);
  changed_.notify_all();
  write_behind(lock);
  return true;
}

// The disk works while the next blocks are made; without this it would begin at the end. Only a
// hint: a failure shows at fsync.
void ContentWork::write_behind(std::unique_lock<std::mutex>& lock) {
  if (written_ < on_its_way_ + kWriteBehind) return;
  const std::uint64_t from = std::exchange(on_its_way_, written_);
  const std::uint64_t size = written_ - from;
  lock.unlock();
  (void)::sync_file_range(fd_, static_cast<off_t>(from), static_cast<off_t>(size),
                          SYNC_FILE_RANGE_WRITE);
  lock.lock();
}

Result<void> ContentWork::write_out(const Batch& batch) const {
  const std::string_view bytes(batch.bytes.data(), batch.used);
  for (const Piece& piece : batch.writes) {
    TRY(write_at(fd_, bytes.substr(piece.at, piece.bytes), offset_of(piece.block)));
  }
  return {};
}

void ContentWork::digest_all(Batch& batch) {
  const std::string_view bytes(batch.bytes.data(), batch.used);
  std::size_t run = 0;
  for (const std::size_t end : batch.chunks) {
    for (; run < end; ++run) {
      const Piece& piece = batch.runs[run];
      batch.sha.add_number(piece.block);
      batch.sha.add_number(piece.bytes / kBlockSize);
      batch.sha.add(bytes.substr(piece.at, piece.bytes));
    }
    batch.sums.push_back(batch.sha.take());
  }
}

// What is done and next in the order of reading.
Result<void> ContentWork::fold() {
  const auto is_next = [this](const Batch& batch) {
    return batch.state == State::working && batch.number == folded_ && batch.write == Step::done &&
           batch.digest == Step::done;
  };
  while (true) {
    const auto next = std::find_if(batches_.begin(), batches_.end(), is_next);
    if (next == batches_.end()) return {};
    ++folded_;
    auto folded = failure_ ? fold_one(*next) : Result<void>();
    next->state = State::spare;
    TRY(folded);
  }
}

void ContentWork::begin_whole() {
  whole_.add_number(~std::uint64_t{0});
  whole_.add(view(first_sum_));
}

Result<void> ContentWork::fold_one(Batch& batch) {
  std::size_t chunk = 0;
  const auto take = [&](std::size_t end) {
    for (; chunk < end; ++chunk) {
      if (chunks_ == 0) first_sum_ = batch.sums[chunk];
      if (chunks_ == 1) begin_whole();
      if (chunks_ > 0) whole_.add(view(batch.sums[chunk]));
      ++chunks_;
    }
  };
  for (const End& end : batch.ends) {
    take(end.chunks);
    MVR_ASSERT(chunks_ > 0);
    const sys::Sha256::Sum sum = chunks_ == 1 ? first_sum_ : whole_.take();
    chunks_ = 0;
    TRY(sums_.put(end.index, view(sum)));
  }
  take(batch.chunks.size());
  for (const Piece& piece : batch.writes) {
    written_ = std::max(written_, offset_of(piece.block) + piece.bytes);
  }
  return {};
}

}  // namespace mvr::image
