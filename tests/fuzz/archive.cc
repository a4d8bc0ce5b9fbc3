// Any bytes as a layer, over itself, into an image; and as the JSON beside layers.
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "base/fd.h"
#include "image/ext4_image.h"
#include "image/oci_json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using mvr::image::TarLayer;

constexpr unsigned kChecked = 200;  // one in so many images is looked at by e2fsck

mvr::Fd file_of(std::string_view bytes) {
  mvr::Fd file(::memfd_create("layer", MFD_CLOEXEC));
  MVR_ASSERT(::write(file.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  MVR_ASSERT(::lseek(file.get(), 0, SEEK_SET) == 0);
  return file;
}

void check_image(const std::string& output, const mvr::image::Ext4Report& report) {
  static unsigned made = 0;
  struct stat facts {};
  MVR_ASSERT(::stat(output.c_str(), &facts) == 0);
  MVR_ASSERT(static_cast<std::uint64_t>(facts.st_size) == report.size.value);
  if (made++ % kChecked == 0) MVR_ASSERT(mvr::image::check_ext4(output).has_value());
  MVR_ASSERT(::unlink(output.c_str()) == 0);
}

// The first byte says by which rules.
void write_layers(unsigned rules, std::string_view tar) {
  // In memory, where writing to disk is not waited for.
  const std::string output = "/dev/shm/mvr-fuzz-archive-" + std::to_string(::getpid());
  const mvr::Fd lower = file_of(tar);
  const mvr::Fd upper = file_of(tar);
  TarLayer layer;
  layer.what = "layer";
  layer.whiteouts = (rules & 1U) != 0;
  mvr::image::Ext4Options options;
  options.rootfs = (rules & 2U) != 0;
  if ((rules & 4U) != 0) options.size = mvr::mib(3);
  std::vector<TarLayer> layers(2, layer);
  layers[0].fd = lower.get();
  layers[1].fd = upper.get();
  const auto report = mvr::image::write_ext4_image(layers, output, options);
  if (report) return check_image(output, *report);
  MVR_ASSERT(!report.error().what.empty());
  MVR_ASSERT(::access(output.c_str(), F_OK) != 0);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): libFuzzer's bytes as text
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string json(bytes);
  if (json.front() == '{' || json.front() == '[') {
    if (const auto document = mvr::image::parse_oci_document(json)) {
      for (const auto& one : document->layers) MVR_ASSERT(mvr::image::is_sha256(one.digest));
    }
    (void)mvr::image::parse_diff_ids(json);
    (void)mvr::image::parse_docker_archive(json);
    return 0;
  }
  write_layers(data[0], bytes.substr(1));
  return 0;
}
