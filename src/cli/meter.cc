#include "cli/meter.h"

#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <utility>

#include "base/text.h"

namespace mvr::cli {
namespace {

// In whole MiB: nobody reads more than that off a bar.
std::string short_size(Bytes size) {
  return std::to_string(std::max<std::uint64_t>(size.value / mib(1).value, 1)) + "MiB";
}

}  // namespace

std::string bar_text(Bytes done, Bytes all) {
  constexpr std::uint64_t kWidth = 30;
  const std::uint64_t whole = std::max<std::uint64_t>(all.value, 1);
  const std::uint64_t part = std::min(done.value, whole);
  const std::uint64_t filled = part * kWidth / whole;
  std::string percent = std::to_string(part * 100 / whole);
  percent.insert(0, 3 - percent.size(), ' ');
  return "  [" + std::string(filled, '#') + std::string(kWidth - filled, '.') + "] " + percent +
         " % of " + short_size(all);
}

std::string step_text(std::size_t number, std::size_t of, const std::string& text) {
  constexpr std::size_t kWidth = 60;
  return "  step " + std::to_string(number) + "/" + std::to_string(of) + "  " +
         printable(text, kWidth);
}

Meter::Meter() : is_terminal_(::isatty(STDERR_FILENO) == 1) {}

void Meter::clear() {
  if (std::exchange(has_bar_, false)) std::cerr << "\r\x1b[K" << std::flush;
}

void Meter::line(const std::string& text) {
  clear();
  std::cerr << text << "\n";
  if (!status_.empty()) draw(status_);
}

void Meter::bar(Bytes done, Bytes all) {
  if (is_terminal_) draw(bar_text(done, all));
}

void Meter::status(const std::string& text) {
  if (!is_terminal_) return;
  clear();
  status_ = text;
  if (!text.empty()) draw(text);
}

void Meter::draw(const std::string& text) {
  has_bar_ = true;
  std::cerr << "\r" << text << "\x1b[K" << std::flush;
}

}  // namespace mvr::cli
