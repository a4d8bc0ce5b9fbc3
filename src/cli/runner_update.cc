#include "cli/runner_update.h"

#include <algorithm>
#include <iostream>
#include <optional>

#include "base/text.h"
#include "cli/meter.h"
#include "cli/smoke.h"
#include "daemon/download.h"
#include "daemon/runner_download.h"
#include "image/runner_store.h"
#include "image/store.h"

namespace mvr::cli {
namespace {

using image::RunnerStore;

// A release that is not here yet.
struct Wanted {
  std::string version;  // its name in the store, too
  std::string sha256;
  std::string file;  // where it is; empty: it is downloaded
  std::optional<github::RunnerDownload> download;
};

Result<std::string> version_of(const std::string& file) {
  const auto release = image::parse_release_name(file);
  if (release) return release->version;
  return fail(Errc::invalid, printable(file, 200) +
                                 ": a release's file is called "
                                 "actions-runner-linux-x64-VERSION.tar.gz; give it that name");
}

Result<Wanted> wanted_file(const UpdateArguments& arguments) {
  Wanted wanted;
  wanted.file = arguments.file;
  wanted.sha256 = ascii_lower(arguments.sha256);
  if (!github::is_sha256(wanted.sha256)) {
    return fail(Errc::invalid, "--sha256 takes 64 hexadecimal digits");
  }
  TRY_ASSIGN(wanted.version, version_of(arguments.file));
  return wanted;
}

Result<std::string> agreed_sha256(const github::RunnerDownload& download,
                                  const std::string& given) {
  if (download.sha256.empty() && given.empty()) {
    return fail(Errc::denied, "GitHub tells no SHA-256 of " + download.filename +
                                  ": take it from a place you trust, and give it with --sha256");
  }
  if (!download.sha256.empty() && !given.empty() && download.sha256 != given) {
    return fail(Errc::invalid, "GitHub says that " + download.filename + " has the SHA-256 " +
                                   download.sha256 + ", --sha256 says " + printable(given, 80));
  }
  return download.sha256.empty() ? given : download.sha256;
}

Result<Wanted> wanted_of_github(const core::Config& config, const std::string& given) {
  Wanted wanted;
  TRY_ASSIGN(wanted.download, daemon::named_release(config));
  TRY_ASSIGN(wanted.version, version_of(wanted.download->filename));
  TRY_ASSIGN(wanted.sha256, agreed_sha256(*wanted.download, ascii_lower(given)));
  return wanted;
}

// Into the store, by its version; nobody uses it yet.
Result<void> obtain(const core::Config& config, const RunnerStore& store, const Wanted& wanted,
                    Meter& meter) {
  image::RunnerInstall install{wanted.version, wanted.file, "", wanted.sha256, true};
  if (!wanted.download) {
    TRY(daemon::check_sha256(wanted.file, wanted.sha256, wanted.file));
    meter.line("making the drive of " + wanted.version);
    TRY(store.install(install));
    return {};
  }
  TRY_ASSIGN(const image::WorkDirectory work, store.make_work_directory());
  install.source = work.path() + "/" + wanted.download->filename;
  install.origin = daemon::shown_url(wanted.download->url);
  meter.line("downloading " + install.origin);
  const daemon::Download download{wanted.download->url, wanted.download->filename, wanted.sha256,
                                  wanted.download->token.copy()};
  TRY(daemon::download_file(config, download, install.source,
                            [&meter](Bytes done, Bytes all) { meter.bar(done, all); }));
  meter.line("making the drive of " + wanted.version);
  TRY(store.install(install));
  return {};
}

// True: it is in the store already.
Result<bool> is_here(const RunnerStore& store, const Wanted& wanted) {
  const auto found = store.find(wanted.version);
  if (!found && found.error().code == Errc::not_found) return false;
  if (!found) return fail(found.error());
  const auto sha256 = found->labels.find("sha256");
  if (sha256 == found->labels.end() || sha256->second == wanted.sha256) return true;
  return fail(Errc::exists, "the runner release " + wanted.version +
                                " is here with another SHA-256, " + sha256->second +
                                ": mvrunner runner rm " + wanted.version);
}

// The first profile that could boot here; null: none has its image and kernel yet.
const core::Profile* bootable(const core::Config& config) {
  const image::ImageStore images(config.state_dir);
  const image::KernelStore kernels(config.state_dir);
  const auto found = std::ranges::find_if(config.profiles, [&](const core::Profile& each) {
    return images.find(each.image) && kernels.find(each.kernel);
  });
  return found == config.profiles.end() ? nullptr : &*found;
}

Result<void> try_out(const Context& context, const core::Config& config, const std::string& version,
                     Meter& meter) {
  const core::Profile* profile = bootable(config);
  if (profile == nullptr) {
    meter.line("not tried in a VM: no profile has its image and kernel here yet");
    return {};
  }
  meter.line("trying it in a VM of the profile " + profile->name);
  SmokeTarget target;
  target.profile = profile->name;
  target.image = profile->image;
  target.runner = version;
  target.progress = [&meter](const std::string& line) { meter.line(line); };
  return mvr::context(smoke(context, config, target), "the trial of runner release " + version);
}

Result<std::string> renew(const Context& context, const core::Config& config,
                          const UpdateArguments& arguments) {
  const RunnerStore store(config.state_dir);
  TRY_ASSIGN(const Fd lock, store.lock());
  TRY_ASSIGN(const Wanted wanted, arguments.file.empty()
                                      ? wanted_of_github(config, arguments.sha256)
                                      : wanted_file(arguments));
  TRY_ASSIGN(const image::RunnerUse use, store.use());
  if (arguments.is_unattended && wanted.version == use.held) {
    return wanted.version + " was rolled back: " + use.current + " stays current";
  }
  Meter meter;
  TRY_ASSIGN(const bool has_it, is_here(store, wanted));
  if (has_it && wanted.version == use.current) return wanted.version + " is current";
  if (!has_it) TRY(obtain(config, store, wanted, meter));
  if (arguments.smokes) TRY(try_out(context, config, wanted.version, meter));
  TRY(store.make_current(wanted.version));
  TRY(store.prune(config.runner));
  if (config.runner != image::kCurrentRunner) {
    meter.line("VMs get it once the configuration says `runner: current`");
  }
  return wanted.version + " is current" + (use.current.empty() ? "" : ", before: " + use.current);
}

}  // namespace

int update(const Context& context, const UpdateArguments& arguments) {
  const auto config = load_config(context, false);
  if (!config) return report_config(config.error());
  const auto outcome = renew(context, *config, arguments);
  if (!outcome) return report(outcome.error());
  std::cout << *outcome << "\n";
  return exit_ok;
}

}  // namespace mvr::cli
