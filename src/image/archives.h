// Images that others made: OCI layouts and archives, `docker save`, root filesystem tars,
// registries.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "image/ext4_image.h"
#include "image/image_config.h"
#include "image/progress.h"
#include "image/store.h"

namespace mvr::image {

struct ImageSource {
  std::string digest;            // "sha256:<hex>" of the image's manifest; empty for a tar
  ImageConfig config;            // for this host's architecture
  std::vector<TarLayer> layers;  // lowest first, with the digests that reading them verifies
  std::vector<Fd> files;         // what the layers are read from
};
// `spec`: "oci:DIR[:TAG]", "oci-archive:FILE", "docker-archive:FILE", "tar:FILE", "docker://REF",
// or a path whose kind is found out. Archives are unpacked, and registries copied, into `scratch`,
// a directory that exists. What an index offers for other machines is passed over.
// `lines` gets what skopeo says.
Result<ImageSource> open_source(const std::string& spec, const std::string& scratch,
                                const Progress& lines = {});

// skopeo copy docker://REF to an OCI layout at `directory`: credentials, mirrors and retries are
// skopeo's. Its progress goes to `lines` as it comes.
Result<void> pull_image(const std::string& reference, const std::string& directory,
                        const Progress& lines = {});

struct ImportOptions {
  std::string source;  // as for open_source()
  std::string work;    // a directory of one's own, where rootfs.ext4 appears
  std::string name;    // of the image
  Progress progress;   // one line per step, and skopeo's
  Bar bar;
};
// <work>/rootfs.ext4, checked, and what is to be said of it. The manifest's digest is that of the
// tree. Everything else in `work` is removed.
Result<Manifest> import_image(const ImportOptions& options);

}  // namespace mvr::image
