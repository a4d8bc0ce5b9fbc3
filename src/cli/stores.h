// What `image`, `kernel` and `runner` share: their stores open, list and remove alike.
#pragma once

#include <iostream>
#include <string>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "image/store.h"

namespace mvr::cli {

template <class Store>
Result<Store> open_store(const Context& context) {
  TRY_ASSIGN(const core::Config config, load_config(context, false));
  return Store(config.state_dir);
}

template <class Store>
int remove_entry(const Context& context, const std::string& name) {
  auto store = open_store<Store>(context);
  if (!store) return report_config(store.error());
  if (auto removed = store->remove(name); !removed) return report(removed.error());
  std::cout << "removed " << name << "\n";
  return exit_ok;
}

// The entries of a store that describes them by manifests.
template <class Store>
int list_manifests(const Context& context) {
  auto store = open_store<Store>(context);
  if (!store) return report_config(store.error());
  auto entries = store->list();
  if (!entries) return report(entries.error());
  nlohmann::json all = nlohmann::json::array();
  std::vector<Row> rows;
  for (const auto& manifest : *entries) {
    all.push_back(nlohmann::json::parse(image::manifest_json(manifest)));
    rows.push_back({manifest.name, short_digest(manifest.digest), format_bytes(manifest.allocated),
                    manifest.created, manifest.builder});
  }
  if (context.json) {
    std::cout << all.dump(2) << "\n";
  } else {
    print_table({"NAME", "DIGEST", "ALLOCATED", "CREATED", "BUILDER"}, rows);
  }
  return exit_ok;
}

}  // namespace mvr::cli
