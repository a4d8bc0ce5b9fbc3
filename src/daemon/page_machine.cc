// The machine: a box for each VM, as large as its share of the memory, a strip of its vCPUs, and a
// table that says the same in words.
#include <algorithm>
#include <array>
#include <cmath>

#include "base/text.h"
#include "daemon/page_parts.h"

namespace mvr::daemon {
namespace {

constexpr double kHeight = 280;       // pixels of the drawing
constexpr double kUsualWidth = 1160;  // what it has on a usual screen
constexpr double kBoxShape = 2.2;     // wanted of its width by its height: text lies
constexpr double kLine = 17;          // pixels from one line of text to the next
constexpr double kMargin = 8;
constexpr double kLeastRest = 0.002;  // a smaller share is not drawn

// Where a box is: x and width as shares of the drawing, y and height in pixels.
struct Box {
  double x = 0;
  double y = 0;
  double width = 0;
  double height = 0;
};

// How far a box is from the wanted shape; 1 is best.
double misfit(double width, double height) {
  const double shape = width / (height * kBoxShape);
  return std::max(shape, 1 / shape);
}

// Of a column of boxes that have these shares of all.
double column_misfit(const std::vector<double>& shares, std::size_t first, std::size_t end,
                     double sum) {
  double total = 0;
  for (std::size_t i = first; i < end; ++i) {
    total += misfit(sum * kUsualWidth, shares[i] / sum * kHeight);
  }
  return total / static_cast<double>(end - first);
}

// A column of boxes: those from `first` to before `end`, and their sum.
struct Column {
  std::size_t first = 0;
  std::size_t end = 0;
  double sum = 0;
};

// What is left for the last column may be too little for a box of any use: the one before it then
// takes these boxes, too.
void spare_sliver(const std::vector<double>& shares, std::vector<Column>& columns) {
  constexpr double kSliver = 4;  // misfit
  if (columns.size() < 2) return;
  const Column last = columns.back();
  const Column& before = columns.at(columns.size() - 2);
  const Column both{before.first, last.end, before.sum + last.sum};
  const double alone = column_misfit(shares, last.first, last.end, last.sum);
  if (alone < kSliver || column_misfit(shares, both.first, both.end, both.sum) > alone) return;
  columns.pop_back();
  columns.back() = both;
}

std::vector<Column> columns_of(const std::vector<double>& shares) {
  std::vector<Column> columns;
  for (std::size_t first = 0; first < shares.size();) {
    Column column{first, first + 1, shares[first]};
    double now = column_misfit(shares, first, column.end, column.sum);
    while (column.end < shares.size()) {
      const double more = column.sum + shares[column.end];
      const double then = column_misfit(shares, first, column.end + 1, more);
      if (then > now) break;
      now = then;
      column.sum = more;
      ++column.end;
    }
    columns.push_back(column);
    first = column.end;
  }
  spare_sliver(shares, columns);
  return columns;
}

// Columns from the left, each filled from the top: boxes of one size stand in rows, and one more
// moves few of the others.
std::vector<Box> boxes(const std::vector<double>& shares) {
  std::vector<Box> out;
  out.reserve(shares.size());
  double x = 0;
  for (const Column& column : columns_of(shares)) {
    double y = 0;
    for (std::size_t i = column.first; i < column.end; ++i) {
      const double height = shares[i] / column.sum * kHeight;
      out.push_back(Box{x, y, column.sum, height});
      y += height;
    }
    x += column.sum;
  }
  return out;
}

// The pixels a text may need: letters beyond ASCII may be twice as wide.
double text_width(std::string_view text) {
  double width = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) width += 7.2;
    if (byte >= 0xc0) width += 14;
  }
  return width + 2 * kMargin;
}

// The class of what is shown from a width of the screen on, so that a share of it holds `wanted`
// pixels; empty: on none.
std::string_view shown_from(double wanted, double share) {
  constexpr std::array<std::pair<double, std::string_view>, 5> kWidths{
      {{270, "w0"}, {430, "w1"}, {600, "w2"}, {900, "w3"}, {kUsualWidth - 40, "w4"}}};
  for (const auto& [width, name] : kWidths) {
    if (width * share >= wanted) return name;
  }
  return {};
}

// Those lines that fit.
Markup label(const std::vector<std::string>& lines, const Box& box) {
  Markup out;
  double y = kMargin + 10;
  for (std::size_t i = 0; i < lines.size(); ++i, y += kLine) {
    const std::string_view from = shown_from(text_width(lines[i]), box.width);
    if (y + kMargin - 3 > box.height) break;
    if (from.empty() || lines[i].empty()) continue;
    out.put("<text class=\"", safe(from), safe(i == 0 ? " name" : ""), "\" x=\"8\" y=\"", pixels(y),
            "\">", safe(lines[i]), "</text>");
  }
  return out;
}

Markup draw(const Box& box, std::string_view look, std::string_view title,
            const std::vector<std::string>& lines) {
  Markup out;
  out.put("<svg class=\"box ", safe(look), "\" x=\"", percent(box.x), "\" y=\"", pixels(box.y),
          "\" width=\"", percent(box.width), "\" height=\"", pixels(box.height));
  return out.put("\"><title>", safe(title, 500),
                 "</title><rect class=\"plain\" width=\"100%\" height=\"100%\"/><rect "
                 "class=\"over\" width=\"100%\" height=\"100%\"/>",
                 label(lines, box), "</svg>");
}

std::string size_text(const PageVm& vm) {
  return format_bytes(vm.size.memory) + ", " + counted(vm.size.vcpus, "vCPU");
}

std::string title_of(const PageVm& vm) {
  std::string text = vm.name + ": " + std::string(core::phase_name(vm.phase));
  if (!vm.job.empty()) text += " " + vm.job;
  if (!vm.repository.empty()) text += " of " + vm.repository;
  return text + ", for " + span_text(vm.phase_for) + ", " + size_text(vm);
}

std::vector<std::string> lines_of(const PageVm& vm) {
  constexpr std::size_t kLongestLine = 40;
  std::vector<std::string> lines{vm.name};
  if (!vm.job.empty()) lines.push_back(printable(vm.job, kLongestLine));
  lines.push_back(std::string(core::phase_name(vm.phase)) + ", " + span_text(vm.phase_for));
  lines.push_back(size_text(vm));
  return lines;
}

// Large ones first, so that boxes of one size stand together.
std::vector<const PageVm*> by_size(const Page& page) {
  std::vector<const PageVm*> vms;
  vms.reserve(page.vms.size());
  for (const auto& vm : page.vms) vms.push_back(&vm);
  std::ranges::stable_sort(
      vms, [](const PageVm* a, const PageVm* b) { return a->size.memory > b->size.memory; });
  return vms;
}

// What is left of the whole to the right of `used`: free, then the host's own.
Markup rest(const Page& page, double used, double all) {
  Markup out;
  const double kept = static_cast<double>(page.reserve.value) / all;
  const double free = 1 - used - kept;
  const auto block = [&](double x, double width, std::string_view look, const std::string& name,
                         const std::string& amount) {
    if (width < kLeastRest) return;
    out.put(draw(Box{x, 0, width, kHeight}, look, name + ": " + amount, {name, amount}));
  };
  const Bytes left = page.capacity.memory - page.used.memory;
  block(used, free, "free", "free", format_bytes(left));
  block(1 - kept, kept, "kept", "kept for the host", format_bytes(page.reserve));
  return out;
}

Markup memory_drawing(const Page& page, const std::vector<const PageVm*>& vms) {
  const Bytes most = std::max(page.capacity.memory, page.used.memory);
  const auto all = static_cast<double>((most + page.reserve).value);
  if (all == 0) return Markup().put("<p class=\"empty\">The host is being measured.</p>");
  std::vector<double> shares;
  shares.reserve(vms.size());
  for (const PageVm* vm : vms) {
    shares.push_back(std::max(static_cast<double>(vm->size.memory.value) / all, 1e-6));
  }
  const std::vector<Box> places = boxes(shares);
  Markup out;
  out.put(
      "<svg class=\"machine\" role=\"img\" aria-labelledby=\"machine-words\" width=\"100%\" "
      "height=\"",
      pixels(kHeight),
      "\"><defs><pattern id=\"lines\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\" "
      "patternTransform=\"rotate(45)\"><rect class=\"ink\" width=\"2\" height=\"7\"/></pattern>"
      "<pattern id=\"dots\" width=\"8\" height=\"8\" patternUnits=\"userSpaceOnUse\"><circle "
      "class=\"ink\" cx=\"2\" cy=\"2\" r=\"1.2\"/></pattern></defs>");
  double used = 0;
  for (std::size_t i = 0; i < vms.size(); ++i) {
    out.put(draw(places[i], look_of(vms[i]->phase), title_of(*vms[i]), lines_of(*vms[i])));
    used += shares[i];
  }
  return out.put(rest(page, used, all), "</svg>");
}

Markup vcpu_drawing(const Page& page, const std::vector<const PageVm*>& vms) {
  const std::uint32_t all = std::max(page.capacity.vcpus, page.used.vcpus);
  if (all == 0) return {};
  Markup out;
  out.put("<p class=\"minor strip\" id=\"vcpu-words\">vCPUs: ", number(page.used.vcpus), " of ",
          number(page.capacity.vcpus),
          " in use</p><svg class=\"machine\" role=\"img\" "
          "aria-labelledby=\"vcpu-words\" width=\"100%\" height=\"24\">");
  double x = 0;
  for (const PageVm* vm : vms) {
    const double width = static_cast<double>(vm->size.vcpus) / all;
    out.put(draw(Box{x, 0, width, 24}, look_of(vm->phase), title_of(*vm), {}));
    x += width;
  }
  if (1 - x >= kLeastRest) {
    const std::uint32_t left = all - std::min(all, page.used.vcpus);
    out.put(draw(Box{x, 0, 1 - x, 24}, "free", counted(left, "free vCPU"), {}));
  }
  return out.put("</svg>");
}

constexpr std::array kLooks{
    Look{"starting", "preparing, booting"},
    Look{"waiting", "warm, claiming, listening"},
    Look{"running", "running a job"},
    Look{"ending", "ending, removing"},
    Look{"held", "held"},
    Look{"free", "free"},
    Look{"kept", "kept for the host"},
};

Markup vm_row(const PageVm& vm) {
  Markup out;
  out.put("<tr><th scope=\"row\" class=\"vm\">", safe(vm.name), "</th><td>", safe(vm.profile),
          "</td><td>", safe(core::phase_name(vm.phase)), " for ", span(vm.phase_for), "</td><td>");
  if (vm.job.empty()) {
    out.put("<span class=\"minor\">none yet</span>");
  } else {
    out.put(isolated(vm.job));
  }
  out.put("</td><td>", isolated(vm.repository.empty() ? vm.scope : vm.repository),
          "</td><td class=\"number\">", size(vm.size.memory), "</td><td class=\"number\">",
          number(vm.size.vcpus), "</td><td class=\"number\">");
  return out.put(size(vm.size.disk), "</td><td class=\"number\">", span(vm.age), "</td></tr>");
}

Markup vm_table(const Page& page) {
  Markup out;
  if (page.vms.empty()) return out.put("<p class=\"empty\">No VM is there.</p>");
  out.put(table_start(
      Markup().put("vm-table"), Markup().put("VMs of this host"),
      Markup().put("<th scope=\"col\">VM</th><th scope=\"col\">Profile</th><th scope=\"col\">Phase"
                   "</th><th scope=\"col\">Job</th><th scope=\"col\">Repository or scope</th><th "
                   "scope=\"col\" class=\"number\">Memory</th><th scope=\"col\" class=\"number\">"
                   "vCPUs</th><th scope=\"col\" class=\"number\">Disk</th><th scope=\"col\" "
                   "class=\"number\">Age</th>")));
  for (const auto& vm : page.vms) out.put(vm_row(vm));
  return out.put(table_end());
}

}  // namespace

std::string_view look_of(core::Phase phase) {
  switch (phase) {
    case core::Phase::preparing:
    case core::Phase::booting:
      return "starting";
    case core::Phase::warm:
    case core::Phase::claiming:
    case core::Phase::listening:
      return "waiting";
    case core::Phase::running:
      return "running";
    case core::Phase::ending:
    case core::Phase::removing:
      return "ending";
    case core::Phase::held:
      return "held";
  }
  return {};
}

Markup machine_part(const Page& page) {
  const std::vector<const PageVm*> vms = by_size(page);
  Markup out;
  out.put(
      "<section id=\"machine\" aria-labelledby=\"machine-head\"><h2 id=\"machine-head\">"
      "Machine</h2><p class=\"minor strip\" id=\"machine-words\">Memory: ",
      size(page.used.memory), " of ", size(page.capacity.memory), " in use by ",
      safe(counted(page.vms.size(), "VM")), ", ", size(page.reserve), " kept for the host</p>");
  out.put(memory_drawing(page, vms), vcpu_drawing(page, vms),
          legend("box", "Looks of the boxes", kLooks), vm_table(page));
  return out.put("</section>");
}

}  // namespace mvr::daemon
