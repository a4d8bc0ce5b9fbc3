#include "config/node.h"

#include <exception>
#include <sstream>
#include <utility>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include "base/text.h"

namespace mvr::config {
namespace {

Mark to_mark(const YAML::Mark& mark) { return Mark{mark.line + 1, mark.column + 1}; }

// Builds the tree from the parser's events. A node is attached to its parent when it is complete,
// so that the stack owns everything unfinished.
class Builder final : public YAML::EventHandler {
 public:
  Builder(std::string_view source, Report& report) : source_(source), report_(report) {}

  // Empty when nothing usable was read.
  [[nodiscard]] std::optional<Node> take() && { return std::move(root_); }
  [[nodiscard]] bool gave_up() const { return gave_up_; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ == 2) refuse(mark, "a second document; the configuration is one document");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override {
    attach(Node{Node::Kind::null, to_mark(mark), {}, {}, {}});
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    refuse(mark, "an alias (*name); aliases are not supported, write the value out");
    attach(Node{Node::Kind::null, to_mark(mark), {}, {}, {}});
  }
  void OnAnchor(const YAML::Mark& mark, const std::string& name) override {
    if (name.empty()) return;
    refuse(mark, "an anchor (&name); anchors are not supported, write the value out");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                const std::string& value) override {
    check_tag(mark, tag);
    if (tag == "!") check_quote(mark);
    attach(Node{Node::Kind::scalar, to_mark(mark), value, {}, {}});
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    start(Node::Kind::list, mark, tag);
  }
  void OnSequenceEnd() override { finish(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    start(Node::Kind::map, mark, tag);
  }
  void OnMapEnd() override { finish(); }

 private:
  void refuse(const YAML::Mark& mark, std::string what) {
    if (!gave_up_) report_.add(to_mark(mark), "", std::move(what));
  }

  // The parser marks what the text itself says by "?" (plain) and "!" (quoted).
  void check_tag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.empty() || tag == "?" || tag == "!") return;
    refuse(mark, "the tag " + printable(tag, 60) + "; tags are not supported");
  }

  // yaml-cpp ends an unclosed quote silently at the end of the file.
  void check_quote(const YAML::Mark& mark) {
    const auto at = static_cast<std::size_t>(mark.pos);
    if (at >= source_.size() || (source_[at] != '"' && source_[at] != '\'')) return;
    const char quote = source_[at];
    for (std::size_t i = at + 1; i < source_.size(); ++i) {
      if (source_[i] == quote) return;  // '' inside '...' only moves the end
      if (quote == '"' && source_[i] == '\\') ++i;
    }
    refuse(mark, "this quote is never closed");
  }

  void start(Node::Kind kind, const YAML::Mark& mark, const std::string& tag) {
    if (gave_up_) return;
    check_tag(mark, tag);
    if (stack_.size() >= kMaxDepth) {
      refuse(mark, "nested more than " + std::to_string(kMaxDepth) + " levels deep");
      gave_up_ = true;
      return;
    }
    stack_.push_back(Node{kind, to_mark(mark), {}, {}, {}});
  }

  void finish() {
    if (gave_up_) return;
    Node done = std::move(stack_.back());
    stack_.pop_back();
    attach(std::move(done));
  }

  void attach(Node node) {
    if (gave_up_ || documents_ > 1) return;
    if (stack_.empty()) {
      root_ = std::move(node);
      return;
    }
    Node& parent = stack_.back();
    if (parent.kind == Node::Kind::map && parent.keys.size() == parent.items.size()) {
      if (node.kind != Node::Kind::scalar) {
        report_.add(node.mark, "", std::string(kind_name(node.kind)) + " cannot be a key");
      }
      parent.keys.push_back(std::move(node));
      return;
    }
    // The parser puts an absent value at the token after it, often lines away.
    if (parent.kind == Node::Kind::map && node.kind == Node::Kind::null) {
      node.mark = parent.keys.back().mark;
    }
    parent.items.push_back(std::move(node));
  }

  std::string_view source_;
  Report& report_;
  std::vector<Node> stack_;
  std::optional<Node> root_;
  int documents_ = 0;
  bool gave_up_ = false;
};

// The parser takes byte 0x04 for the end of the file and guesses UTF-16; neither reaches it.
bool is_plain_text(std::string_view yaml, Report& report) {
  if (yaml.size() > kMaxInput) {
    report.add(Mark{}, "", "larger than " + format_bytes(Bytes{kMaxInput}));
    return false;
  }
  if (!is_valid_utf8(yaml)) {
    report.add(Mark{}, "", "not valid UTF-8");
    return false;
  }
  Mark mark{1, 1};
  for (const char c : yaml) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t' && c != '\n' && c != '\r') || byte == 0x7f) {
      report.add(mark, "", "a control character (" + printable(std::string(1, c)) + ")");
      return false;
    }
    mark = c == '\n' ? Mark{mark.line + 1, 1} : Mark{mark.line, mark.column + 1};
  }
  return true;
}

}  // namespace

std::string_view kind_name(Node::Kind kind) {
  switch (kind) {
    case Node::Kind::null:
      return "an empty value";
    case Node::Kind::scalar:
      return "a single value";
    case Node::Kind::list:
      return "a list";
    case Node::Kind::map:
      return "a mapping";
  }
  return "";
}

std::optional<Node> read_document(std::string_view yaml, Report& report) {
  if (!is_plain_text(yaml, report)) return std::nullopt;
  const std::size_t before = report.count();
  Builder builder(yaml, report);
  try {
    std::istringstream stream{std::string(yaml)};
    YAML::Parser parser(stream);
    // Twice at most: the builder refuses a second document, and on some malformed texts
    // yaml-cpp 0.7 reports one document after the other without reading on.
    for (int documents = 0; documents < 2 && parser.HandleNextDocument(builder); ++documents) {
    }
  } catch (const YAML::Exception& error) {
    // Too deep a nesting ends here too, when it was reported already.
    if (!builder.gave_up()) report.add(to_mark(error.mark), "", "not valid YAML: " + error.msg);
    return std::nullopt;
  } catch (const std::exception& error) {
    report.add(Mark{}, "", std::string("not readable as YAML: ") + error.what());
    return std::nullopt;
  }
  if (builder.gave_up() || report.count() != before) return std::nullopt;
  return std::move(builder).take().value_or(Node{});
}

}  // namespace mvr::config
