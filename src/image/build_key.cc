#include "image/build_key.h"

#include <algorithm>

#include "sys/files.h"

namespace mvr::image {
namespace {

// Rises when the same tree becomes another filesystem: images of older versions are made anew.
constexpr int kWriterVersion = 1;

// Every field with its length in front: no two lists of fields read the same.
class Canonical {
 public:
  void add(const std::string& field) { text_ += std::to_string(field.size()) + ":" + field + "\n"; }
  void add(const std::map<std::string, std::string>& fields) {
    add(std::to_string(fields.size()));
    for (const auto& [name, value] : fields) {
      add(name);
      add(value);
    }
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace

std::string build_key(const KeyParts& parts) {
  Canonical all;
  all.add("mvrunner build " + std::to_string(kWriterVersion));
  all.add(parts.dockerfile);
  all.add(parts.ignore_rules);
  all.add(std::to_string(parts.context.size()));
  for (const ContextEntry& entry : parts.context) {
    all.add(entry.path);
    all.add(std::string(1, entry.kind) + std::to_string(entry.mode));
    all.add(entry.content);
  }
  all.add(parts.bases);
  all.add(parts.arguments);
  all.add(parts.target);
  all.add(parts.platform);
  std::vector<std::string> ids = parts.secret_ids;
  std::sort(ids.begin(), ids.end());
  all.add(std::to_string(ids.size()));
  for (const std::string& id : ids) all.add(id);
  all.add(parts.builder);
  return "sha256:" + sys::sha256_text(all.text());
}

}  // namespace mvr::image
