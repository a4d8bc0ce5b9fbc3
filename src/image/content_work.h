// What is done with the contents of files while more of them is read: they are written to their
// blocks and digested, on as many threads as there are processors, the reading one among them.
//
// The sum of a content does not depend on who computes it, nor on where in the image it lies: each
// chunk of kChunk bytes that is not all zeros has a SHA-256 over its runs of blocks that are not
// zero, each led by its first block and its length, both counted in blocks, as 64 bits,
// little-endian. The sum of a content is that of its only chunk, or one over the sums of its chunks
// behind 64 bits of ones, with which no run begins.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/page_buffer.h"
#include "base/result.h"
#include "image/block_file.h"
#include "image/content_sums.h"
#include "sys/sha256.h"

namespace mvr::image {

class ContentWork {
 public:
  static constexpr std::size_t kChunk = 64U << 10U;
  // `fd` and `sums` stay the caller's; nobody else touches `sums` before complete(). `helpers`:
  // threads beside the caller's; where the system gives fewer, those.
  ContentWork(int fd, ContentSums& sums, unsigned helpers = spare_processors());
  // What is not complete is dropped.
  ~ContentWork();
  ContentWork(const ContentWork&) = delete;
  ContentWork& operator=(const ContentWork&) = delete;
  ContentWork(ContentWork&&) = delete;
  ContentWork& operator=(ContentWork&&) = delete;

  // Where the next chunk of a content is put together: kChunk bytes of no value, good until
  // end_chunk(). An Err, here and below, may be that of a write long before.
  Result<char*> room();
  // Whole blocks of the room, from its byte `at` on: they go to the image's blocks `where`.
  void write(std::size_t at, Run where);
  // Such blocks are a run of the content, from its block `logical` on: all of it, and at once.
  void digest(std::size_t at, Run logical);
  // The chunk took so many bytes of the room. One without a run is all zeros.
  void end_chunk(std::size_t bytes);
  // The chunks since the last call are one content; one of them had a run. Indexes grow.
  void end_content(std::uint32_t index);
  // What was added is written to these blocks by now, and by nobody later.
  Result<void> settle(Run blocks);
  // All is written, and every content has its sum. Nothing may be added any more.
  Result<void> complete();

  // Those this process may run on but one, and no more than there is use for.
  static unsigned spare_processors();

 private:
  struct Piece {
    std::size_t at;  // bytes of the batch
    std::size_t bytes;
    std::uint32_t block;  // of the image, or of the content
  };
  struct End {
    std::size_t chunks;  // so many of the batch are before it
    std::uint32_t index;
  };
  enum class Step { open, taken, done };
  enum class State { spare, filling, working };
  struct Batch {
    State state = State::spare;
    Step write = Step::open;
    Step digest = Step::open;
    std::uint64_t number = 0;
    PageBuffer bytes;
    std::size_t used = 0;
    std::vector<Piece> writes;
    std::vector<Piece> runs;
    std::vector<std::size_t> chunks;  // where each one's runs end
    std::vector<End> ends;
    sys::Sha256 sha;
    std::vector<sys::Sha256::Sum> sums;  // of its chunks
  };

  Result<void> hand_over();
  void start_helpers();
  void help();
  void stop();
  Result<Batch*> next_spare(std::unique_lock<std::mutex>& lock);
  Result<void> drain(std::unique_lock<std::mutex>& lock);
  bool work(std::unique_lock<std::mutex>& lock);
  Result<void> write_out(const Batch& batch) const;
  static void digest_all(Batch& batch);
  Result<void> fold();
  Result<void> fold_one(Batch& batch);
  void begin_whole();
  void write_behind(std::unique_lock<std::mutex>& lock);
  Batch* oldest(Step Batch::*step);
  static bool has(const Batch& batch, Run blocks);

  const int fd_;
  const unsigned helpers_;
  std::vector<Batch> batches_;
  Batch* filling_;

  std::mutex mutex_;  // from here on; and the states of the batches
  std::condition_variable changed_;
  bool is_over_ = false;
  bool is_writing_ = false;
  Result<void> failure_;
  std::uint64_t handed_over_ = 0;
  std::uint64_t folded_ = 0;
  ContentSums& sums_;
  sys::Sha256 whole_;             // of the chunks' sums of the content that is not over
  std::size_t chunks_ = 0;        // of it
  sys::Sha256::Sum first_sum_{};  // of it
  std::uint64_t written_ = 0;     // up to here at least once
  std::uint64_t on_its_way_ = 0;  // the disk was asked to begin with what lies before
  std::vector<std::thread> threads_;
};

}  // namespace mvr::image
