// The SHA-256 of every file's content, computed on a thread of its own beside the writing. They do
// not fit into memory for every file: they lie in the image's own file far behind its blocks, which
// its final length cuts off.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/result.h"
#include "sys/sha256.h"

namespace mvr::image {

class ContentSums {
 public:
  static constexpr std::size_t kSum = 32;
  // `fd` stays the caller's.
  ContentSums(int fd, std::uint64_t offset);
  ~ContentSums();
  ContentSums(const ContentSums&) = delete;
  ContentSums& operator=(const ContentSums&) = delete;
  ContentSums(ContentSums&&) = delete;
  ContentSums& operator=(ContentSums&&) = delete;

  // Whole blocks of the current file from `place` on, counted in blocks. Waits where the sums do
  // not keep up.
  void add(std::uint32_t place, std::string_view blocks);
  // The current file is over. Indexes mostly grow.
  void end(std::uint32_t index);
  // Waits for the sums of all that ended. Nothing may be added any more.
  Result<void> complete();
  // Raw: over each block that was added and its place.
  Result<std::string> get(std::uint32_t index);

 private:
  struct Batch {
    std::string bytes;
    struct End {
      std::size_t at;
      std::uint32_t index;
    };
    std::vector<End> ends;
  };
  void hand_over();
  void work();
  void stop();
  Result<void> digest(const Batch& batch);
  Result<void> put(std::uint32_t index, std::string_view sum);
  Result<void> flush();

  int fd_;
  std::uint64_t offset_;
  Batch filling_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Batch> full_;
  std::vector<Batch> spare_;
  bool is_over_ = false;
  Result<void> failure_;
  // The thread's own until it is over.
  sys::Sha256 sha_;
  std::string buffer_;  // the sums from first_ on: to be written, or read
  std::uint32_t first_ = 0;
  bool is_dirty_ = false;
  std::thread thread_;
};

}  // namespace mvr::image
