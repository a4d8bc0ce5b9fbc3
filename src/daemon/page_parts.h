// The parts of the status page. Each is an element with an id, which the page's script replaces.
#pragma once

#include <span>
#include <string_view>

#include "daemon/markup.h"
#include "daemon/page.h"

namespace mvr::daemon {

Markup machine_part(const Page& page);
Markup jobs_part(const Page& page);
Markup charts_part(const Page& page);

// Phases that look the same on the page: "starting", "waiting", "running", "ending", "held".
std::string_view look_of(core::Phase phase);

// A region that may scroll by itself, and a table in it. `heads`: the cells of its first row.
Markup table_start(const Markup& id, const Markup& caption, const Markup& heads);
Markup table_end();

// What looks mean: for each a small picture of the class `kind`, and a text.
struct Look {
  std::string_view name;
  std::string_view text;
};
Markup legend(std::string_view kind, std::string_view label, std::span<const Look> looks);

extern const char* const kPageStyle;
extern const char* const kPageScript;

}  // namespace mvr::daemon
