// The JSON of OCI layouts and of `docker save`, from anyone: strict where it matters, bounded.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace mvr::image {

// "sha256:" and 64 hexadecimal digits: the only kind that is taken, also as a file's name.
bool is_sha256(const std::string& digest);

struct OciDescriptor {
  std::string media_type;
  std::string digest;
  std::string os;            // empty: not said
  std::string architecture;  // empty: not said
  std::string tag;           // org.opencontainers.image.ref.name
};

// An index has `manifests`; a manifest has `config` and `layers`.
struct OciDocument {
  bool is_index = false;
  std::vector<OciDescriptor> manifests;
  OciDescriptor config;
  std::vector<OciDescriptor> layers;
};
Result<OciDocument> parse_oci_document(const std::string& json);

// The tars of the layers that an image's config lists, lowest first.
Result<std::vector<std::string>> parse_diff_ids(const std::string& config);

// manifest.json of `docker save`.
struct DockerArchive {
  std::string config;  // paths in the archive
  std::vector<std::string> layers;
};
Result<DockerArchive> parse_docker_archive(const std::string& json);

}  // namespace mvr::image
