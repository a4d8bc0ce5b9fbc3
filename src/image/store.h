// The stores below <state>: images/ (ext4 + manifest) and kernels/; runner_store.h has runners/.
// An entry is a directory named by a tag; publication is one rename.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"
#include "image/progress.h"

namespace mvr::image {

struct Manifest {
  std::string name;    // of an image: the tag it was found by, else the one it was made for
  std::string id;      // of an image: "sha256:<hex>" over what makes it what it is, see image_id()
  std::string digest;  // "sha256:<hex>" of the tree in it, see Ext4Report
  Bytes size;          // apparent
  Bytes allocated;
  std::string created;  // ISO 8601
  std::string builder;  // "buildah 1.28.2"
  std::string source;   // Dockerfile path, as given
  std::string architecture;
  std::vector<std::string> env;  // of the image config
  std::string user;
  std::string workdir;
  std::vector<std::string> entrypoint;
  std::vector<std::string> command;
  std::map<std::string, std::string> labels;
  std::string key;                 // of the build it comes from; empty: of none
  std::vector<std::string> bases;  // what its build began with: "debian:12@sha256:<hex>"
};
std::string manifest_json(const Manifest& manifest);       // pretty, stable order
Result<Manifest> parse_manifest(const std::string& json);  // strict

// A directory nobody else touches. Its lock ends with the process, so that a later build can tell
// a stale one; destroying it removes it.
class WorkDirectory {
 public:
  WorkDirectory(std::string path, Fd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  WorkDirectory(WorkDirectory&& other) noexcept;
  WorkDirectory& operator=(WorkDirectory&& other) noexcept;
  WorkDirectory(const WorkDirectory&) = delete;
  WorkDirectory& operator=(const WorkDirectory&) = delete;
  ~WorkDirectory();
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  void remove();
  std::string path_;
  Fd lock_;
};

// "sha256:<hex>" over the digest of the data and the config it runs with; where, when and under
// which name it was made does not count.
std::string image_id(const Manifest& manifest);

// An image nobody can take away while this, or a VMM that inherited the lock, lives.
struct PinnedImage {
  Manifest manifest;
  std::string path;  // of rootfs.ext4
  Fd lock;           // shared
};

struct StoredImage {
  Manifest manifest;
  std::vector<std::string> tags;  // sorted; may be none
  bool in_use = false;            // pinned by somebody
};

struct PruneRules {
  std::uint64_t keep = 2;     // former images of each tag
  Duration grace{3'600'000};  // an image this young may be about to get its tag
  bool only_look = false;     // say what would go
};

// <state>/images: sha256-<hex>/{rootfs.ext4,manifest.json} by content, and what points to them:
// tags/<name> and keys/<build key> are links replaced by one rename, history/<name> has the former
// images of a tag. Tags: [a-z0-9][a-z0-9._-]{0,63}. A `ref` is a tag, or "sha256:" and/or the
// first digits of an id (4 or more); a tag goes before digits.
//
// Safe against a crash and a full disk at any step: an image, a tag or a key is there as a whole
// or not at all, and what is left over in between is swept by the next one that works here.
class ImageStore {
 public:
  explicit ImageStore(std::string state_dir) : root_(std::move(state_dir) + "/images") {}

  // Where a build works (same filesystem); swept of stale ones first.
  Result<WorkDirectory> make_work_directory() const;
  // Moves <work>/rootfs.ext4 in with its manifest and returns the id. No tag moves: see tag(). An
  // image that is there already stays, and gets the manifest.
  Result<std::string> add(const std::string& work, Manifest manifest) const;
  // VMs started from now on boot the image by this name; those on the former one keep it.
  Result<void> tag(const std::string& ref, const std::string& name) const;
  // The tag goes back to the image before the one it has. Err not_found: there is none.
  Result<Manifest> rollback(const std::string& name) const;

  // What a build with this key made, if that is still there. A key is 1..128 of [a-z0-9:._-].
  Result<std::optional<Manifest>> by_key(const std::string& key) const;
  Result<void> set_key(const std::string& key, const std::string& ref) const;

  Result<Manifest> find(const std::string& ref) const;  // Err not_found names the remedy
  Result<PinnedImage> pin(const std::string& ref) const;
  // By tag; those without one last. An image whose manifest cannot be read is left out: find()
  // says what is wrong with it.
  Result<std::vector<StoredImage>> list() const;
  // The image each tag had before, newest first; what is gone from the store is left out.
  Result<std::vector<std::string>> former(const std::string& name) const;

  // A tag and, unless another one has or had it, its image; or an image without tags. Err busy
  // while that image is pinned.
  Result<void> remove(const std::string& ref) const;
  // Removes the images that have no tag, are not pinned, are older than the grace, and are not
  // among the last ones of a tag. Returns them.
  Result<std::vector<Manifest>> prune(const PruneRules& rules) const;

 private:
  std::string root_;
};

// <state>/kernels/<release>/{vmlinuz,modules/...,kernel.json}; "default" = newest by version.
struct Kernel {
  std::string name;     // release: "6.1.0-39-cloud-amd64"
  std::string path;     // of the image to boot
  std::string modules;  // directory with modules.dep, or empty: all built in
  std::string digest;
  std::string source;  // the package file
};
class KernelStore {
 public:
  explicit KernelStore(std::string state_dir) : state_dir_(std::move(state_dir)) {}
  // Newest first. An entry whose record cannot be read is left out: find() says what is wrong.
  Result<std::vector<Kernel>> list() const;
  Result<Kernel> find(const std::string& name) const;
  // From kernel package files (.deb: the image and, where the distribution splits them off, its
  // modules); none given: this distribution's newest cloud kernel through `apt-get download`.
  // `progress` gets one line per step, `bar` how far a download is. On any Err the store is as
  // before.
  Result<Kernel> install(const std::vector<std::string>& packages,
                         const std::function<void(const std::string&)>& progress,
                         const Bar& bar = {}) const;
  // From what kernel/build made, or another directory that holds a bootable image (vmlinux, bzImage
  // or Image), its name (release) and modprobe's lists (modules.*): all it needs is built in.
  Result<Kernel> install_built(const std::string& directory,
                               const std::function<void(const std::string&)>& progress) const;
  Result<void> remove(const std::string& name) const;

 private:
  std::string state_dir_;
};

}  // namespace mvr::image
