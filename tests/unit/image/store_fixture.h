// An image store with images that are a few bytes each.
#pragma once

#include <functional>
#include <string>

#include "fixture.h"

namespace mvr::image {

// Adds an image whose data is `text`; returns its id.
inline Result<std::string> add(const ImageStore& store, const std::string& text,
                               const std::function<void(Manifest&)>& change = {}) {
  TRY_ASSIGN(const WorkDirectory work, store.make_work_directory());
  TRY(sys::write_file(work.path() + "/rootfs.ext4", text));
  Manifest manifest = sample_manifest("made-for");
  manifest.digest = "sha256:" + sys::sha256_text(text);
  manifest.size = Bytes{text.size()};
  if (change) change(manifest);
  return store.add(work.path(), manifest);
}

inline Result<void> publish(const ImageStore& store, const std::string& name,
                            const std::string& text) {
  TRY_ASSIGN(const std::string id, add(store, text));
  return store.tag(id, name);
}

// What is in the store and belongs to no image, tag, key or history.
inline std::string leftovers(const TempDir& state) {
  std::string left;
  for (const std::string& name : names_in(state / "images")) {
    if (name.front() == '.') left += name + " ";
  }
  return left;
}

}  // namespace mvr::image
