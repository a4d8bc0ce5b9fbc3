#include "image/archives.h"

#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "base/text.h"
#include "image/archive_files.h"
#include "image/entry_store.h"
#include "image/oci_json.h"
#include "image/program.h"
#include "image/tar_stream.h"
#include "sys/files.h"

namespace mvr::image {
namespace {

constexpr int kMaxDepth = 4;  // indexes in indexes

struct Spec {
  std::string kind;  // "oci", "tar", ...
  std::string path;
  std::string tag;
};

bool starts_with(const std::string& text, std::string_view prefix) {
  return text.compare(0, prefix.size(), prefix) == 0;
}

// Whether the first file of a tar is one that OCI archives and docker save begin with.
Result<bool> is_image_archive(const std::string& path) {
  const Utf8Names names;
  TRY_ASSIGN(const Fd file, sys::open_read(path));
  std::atomic<std::uint64_t> read = 0;
  TarStream tar(file.get(), read);
  TRY(tar.open(false, false));
  while (true) {
    TRY_ASSIGN(archive_entry * entry, tar.next());
    if (entry == nullptr) return false;
    const char* text = ::archive_entry_pathname(entry);
    std::string name = text == nullptr ? "" : text;
    if (starts_with(name, "./")) name.erase(0, 2);
    if (starts_with(name, "blobs/") || name == "oci-layout" || name == "index.json" ||
        name == "manifest.json" || name == "repositories") {
      return true;
    }
    // "<64 hex>/VERSION", "<64 hex>.json", "<64 hex>.tar"
    if (name.size() > 64 && (name[64] == '/' || name[64] == '.') &&
        is_sha256("sha256:" + name.substr(0, 64))) {
      return true;
    }
    if (::archive_entry_filetype(entry) == AE_IFREG) return false;
  }
}

Result<Spec> parse_spec(const std::string& spec) {
  if (starts_with(spec, "docker://")) return Spec{"docker", spec.substr(9), ""};
  for (const char* kind : {"oci-archive", "docker-archive", "tar"}) {
    const std::string prefix = std::string(kind) + ":";
    if (starts_with(spec, prefix)) return Spec{kind, spec.substr(prefix.size()), ""};
  }
  if (starts_with(spec, "oci:")) {
    Spec found{"oci", spec.substr(4), ""};
    const std::size_t colon = found.path.rfind(':');
    if (colon != std::string::npos && !sys::exists(found.path)) {
      found.tag = found.path.substr(colon + 1);
      found.path.resize(colon);
    }
    return found;
  }
  struct stat facts {};
  if (::stat(spec.c_str(), &facts) != 0) return fail_errno(errno, spec);
  if (S_ISDIR(facts.st_mode)) {
    if (sys::exists(spec + "/oci-layout")) return Spec{"oci", spec, ""};
    return fail(Errc::invalid, spec +
                                   " is a directory without an OCI layout: pack a root "
                                   "filesystem with tar --numeric-owner --xattrs --acls");
  }
  TRY_ASSIGN(const bool is_archive, context(is_image_archive(spec), spec));
  return Spec{is_archive ? "archive" : "tar", spec, ""};
}

Result<void> add_layer(ImageSource& source, const std::string& path, TarLayer layer) {
  TRY_ASSIGN(Fd file, sys::open_read(path));
  layer.fd = file.get();
  layer.what = "layer " + std::to_string(source.layers.size() + 1);
  source.files.push_back(std::move(file));
  source.layers.push_back(std::move(layer));
  return {};
}

Result<ImageSource> open_tar(const std::string& path) {
  ImageSource source;
  source.config.architecture = host_architecture();
  TarLayer layer;
  layer.whiteouts = false;
  TRY(add_layer(source, path, layer));
  source.layers.back().what = path;
  return source;
}

// The config as OCI has it, checked to be one for this host.
Result<ImageConfig> usable_config(const std::string& json) {
  TRY_ASSIGN(ImageConfig config, parse_inspect("{\"OCIv1\":" + json + "}"));
  const std::string host = host_architecture();
  if (config.architecture == host) return config;
  return fail(Errc::unsupported, "the image is for " + printable(config.architecture, 40) +
                                     ", this host boots " + host);
}

bool is_ours(const OciDescriptor& one) {
  return (one.os.empty() || one.os == "linux") &&
         (one.architecture.empty() || one.architecture == host_architecture());
}

// What an index has for this host; attestations say that their platform is unknown.
Result<OciDescriptor> choose(const std::vector<OciDescriptor>& all, const std::string& tag) {
  std::vector<OciDescriptor> ours;
  std::vector<std::string> offered;
  for (const OciDescriptor& one : all) {
    if (one.os == "unknown") continue;
    if (!tag.empty() && one.tag != tag) {
      offered.push_back(printable(one.tag, 80));
    } else if (is_ours(one)) {
      ours.push_back(one);
    } else {
      offered.push_back(printable(one.os + "/" + one.architecture, 80));
    }
  }
  if (ours.empty()) {
    const std::string wanted =
        (tag.empty() ? "" : "\"" + printable(tag, 80) + "\" for ") + "linux/" + host_architecture();
    return fail(Errc::not_found, "no image " + wanted + "; there are: " +
                                     (offered.empty() ? "none" : join(offered, ", ")));
  }
  const bool are_tags = ours.size() > 1 && !ours[0].tag.empty() && ours[0].tag != ours[1].tag;
  if (!are_tags) return ours[0];
  return fail({Errc::invalid, "the layout holds several images",
               "name one, as in oci:DIR:" + printable(ours[0].tag, 80)});
}

// From the index down to the manifest for this host, whose digest becomes the source's.
Result<OciDocument> find_manifest(const ArchiveFiles& files, const std::string& tag,
                                  ImageSource& source) {
  TRY_ASSIGN(const std::string index, files.read("index.json"));
  TRY_ASSIGN(OciDocument document, parse_oci_document(index));
  if (!document.is_index) return fail(Errc::protocol, "index.json lists no manifests");
  for (int depth = 0; document.is_index; ++depth) {
    if (depth == kMaxDepth) return fail(Errc::protocol, "too many indexes in each other");
    TRY_ASSIGN(const OciDescriptor chosen, choose(document.manifests, depth == 0 ? tag : ""));
    source.digest = chosen.digest;
    TRY_ASSIGN(const std::string text, files.read_blob(chosen.digest));
    TRY_ASSIGN(document, parse_oci_document(text));
  }
  return document;
}

Result<ImageSource> open_oci(const ArchiveFiles& files, const std::string& tag) {
  ImageSource source;
  TRY_ASSIGN(const OciDocument document, find_manifest(files, tag, source));
  TRY_ASSIGN(const std::string config, files.read_blob(document.config.digest));
  TRY_ASSIGN(source.config, usable_config(config));
  TRY_ASSIGN(const std::vector<std::string> diff_ids, parse_diff_ids(config));
  if (diff_ids.size() != document.layers.size()) {
    return fail(Errc::protocol, "the config and the manifest differ in their layers");
  }
  for (std::size_t i = 0; i < diff_ids.size(); ++i) {
    TarLayer layer;
    layer.digest = document.layers[i].digest;
    layer.diff_id = diff_ids[i];
    TRY_ASSIGN(const std::string path, files.path_of(blob_name(layer.digest)));
    TRY(add_layer(source, path, layer));
  }
  return source;
}

// The config's name is its digest; the digests of the layers are in it.
Result<ImageSource> open_docker(const ArchiveFiles& files) {
  TRY_ASSIGN(const std::string manifest, files.read("manifest.json"));
  TRY_ASSIGN(const DockerArchive archive, parse_docker_archive(manifest));
  TRY_ASSIGN(const std::string config, files.read(archive.config));
  sys::Sha256 sha;
  sha.add(config);
  ImageSource source;
  source.digest = "sha256:" + sha.take_hex();
  const std::string stem = std::filesystem::path(archive.config).stem().string();
  if (is_sha256("sha256:" + stem) && source.digest != "sha256:" + stem) {
    return fail(Errc::invalid, printable(archive.config, 200) + " has another content");
  }
  TRY_ASSIGN(source.config, usable_config(config));
  TRY_ASSIGN(const std::vector<std::string> diff_ids, parse_diff_ids(config));
  if (diff_ids.size() != archive.layers.size()) {
    return fail(Errc::protocol, "the config and manifest.json differ in their layers");
  }
  for (std::size_t i = 0; i < diff_ids.size(); ++i) {
    TarLayer layer;
    layer.diff_id = diff_ids[i];
    TRY_ASSIGN(const std::string path, files.path_of(archive.layers[i]));
    TRY(add_layer(source, path, layer));
  }
  return source;
}

Result<ImageSource> open_archive(const Spec& spec, const std::string& scratch) {
  TRY_ASSIGN(const ArchiveFiles files, ArchiveFiles::unpack(spec.path, scratch));
  const bool is_docker =
      spec.kind == "docker-archive" || (spec.kind == "archive" && files.has("manifest.json"));
  return is_docker ? open_docker(files) : open_oci(files, "");
}

bool is_loopback(const std::string& reference) {
  const std::string host = reference.substr(0, reference.find_first_of(":/"));
  return reference.find('/') != std::string::npos && (host == "localhost" || host == "127.0.0.1");
}

Result<ImageSource> open_spec(const Spec& spec, const std::string& scratch, const Progress& lines) {
  if (spec.kind == "tar") return open_tar(spec.path);
  if (spec.kind == "oci") return open_oci(ArchiveFiles::of_directory(spec.path), spec.tag);
  if (spec.kind != "docker") return open_archive(spec, scratch);
  const std::string layout = scratch + "/pulled";
  TRY(pull_image(spec.path, layout, lines));
  return open_oci(ArchiveFiles::of_directory(layout), "");
}

}  // namespace

Result<ImageSource> open_source(const std::string& spec, const std::string& scratch,
                                const Progress& lines) {
  TRY_ASSIGN(const Spec parsed, parse_spec(spec));
  return context(open_spec(parsed, scratch, lines), spec);
}

Result<void> pull_image(const std::string& reference, const std::string& directory,
                        const Progress& lines) {
  const auto is_allowed = [](unsigned char c) {
    return std::isalnum(c) != 0 ||
           std::string_view("._-:/@+").find(static_cast<char>(c)) != std::string_view::npos;
  };
  if (reference.empty() || reference.size() > 512 || reference.front() == '-' ||
      !std::all_of(reference.begin(), reference.end(), is_allowed)) {
    return fail(Errc::invalid, "\"" + printable(reference, 200) + "\" names no image");
  }
  TRY_ASSIGN(const std::string skopeo, find_program("skopeo", "skopeo"));
  LiveOptions copy;
  copy.argv = {skopeo, "--override-os", "linux", "--override-arch", host_architecture(), "copy"};
  // As docker does: a registry on this host needs no certificate.
  if (is_loopback(reference)) copy.argv.emplace_back("--src-tls-verify=false");
  copy.argv.push_back("docker://" + reference);
  copy.argv.push_back("oci:" + directory + ":pulled");
  copy.line = lines;
  TRY_ASSIGN(const LiveRun run, run_live(copy));
  if (run.exit.ok()) return {};
  return fail(Errc::unavailable, "skopeo could not copy " + reference + " (" + run.exit.to_text() +
                                     "): " + last_words(run.tail));
}

Result<Manifest> import_image(const ImportOptions& options) {
  const auto say = [&](const std::string& line) {
    if (options.progress) options.progress(line);
  };
  const std::string scratch = options.work + "/source";
  const std::string rootfs = options.work + "/rootfs.ext4";
  TRY(sys::make_directories(scratch));
  say("reading " + options.source);
  TRY_ASSIGN(ImageSource source, open_source(options.source, scratch, options.progress));
  Ext4Options ext4;
  ext4.label = options.name;
  ext4.bar = options.bar;
  say("writing the filesystem");
  TRY_ASSIGN(const Ext4Report report, write_ext4_image(source.layers, rootfs, ext4));
  source.files.clear();
  TRY(sys::remove_tree(scratch));
  TRY(check_ext4(rootfs));
  Manifest manifest = describe_drive(report);
  manifest.name = options.name;
  manifest.builder = "import";
  manifest.source = options.source + (source.digest.empty() ? "" : "@" + source.digest);
  manifest.architecture = source.config.architecture;
  manifest.env = std::move(source.config.env);
  manifest.user = std::move(source.config.user);
  manifest.workdir = std::move(source.config.workdir);
  manifest.entrypoint = std::move(source.config.entrypoint);
  manifest.command = std::move(source.config.command);
  manifest.labels = std::move(source.config.labels);
  return manifest;
}

}  // namespace mvr::image
