// One image from a tar: seconds, peak memory in KiB. usage: bench_image TAR OUTPUT
#include <fcntl.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdio>

#include "base/fd.h"
#include "image/ext4_image.h"

int main(int count, char** arguments) {
  if (count != 3) return 2;
  const mvr::Fd tar(::open(arguments[1], O_RDONLY | O_CLOEXEC));
  mvr::image::TarLayer layer;
  layer.fd = tar.get();
  layer.what = arguments[1];
  const auto before = std::chrono::steady_clock::now();
  const auto report = mvr::image::write_ext4_image({layer}, arguments[2], {});
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - before;
  if (!report) {
    std::fprintf(stderr, "%s\n", mvr::full_text(report.error()).c_str());
    return 1;
  }
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  std::printf("%.3f %ld\n", took.count(), usage.ru_maxrss);
  return 0;
}
