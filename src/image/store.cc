#include "image/store.h"

#include "image/entry_store.h"

namespace mvr::image {
namespace {

EntryStore images(const std::string& state_dir) {
  return EntryStore({state_dir + "/images", "rootfs.ext4", "image",
                     "build it with 'mvrunner image build -t NAME CONTEXT'"});
}

}  // namespace

Result<std::vector<Manifest>> ImageStore::list() const { return images(state_dir_).list(); }

Result<Manifest> ImageStore::find(const std::string& name) const {
  return images(state_dir_).find(name);
}

std::string ImageStore::rootfs_path(const std::string& name) const {
  return images(state_dir_).data_path(name);
}

Result<Fd> ImageStore::pin(const std::string& name) const { return images(state_dir_).pin(name); }

Result<void> ImageStore::remove(const std::string& name) const {
  return images(state_dir_).remove(name);
}

Result<WorkDirectory> ImageStore::make_work_directory() const {
  return images(state_dir_).make_work_directory();
}

Result<void> ImageStore::publish(const std::string& work, const Manifest& manifest) const {
  return images(state_dir_).publish(work, manifest);
}

}  // namespace mvr::image
