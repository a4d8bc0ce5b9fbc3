// mvrunner completion: a script for a shell, which asks `mvrunner complete` what may come next.
// That reads the program's own verbs and options, so there is no second list of them.
#include <array>
#include <iostream>

#include <CLI/CLI.hpp>

#include "base/text.h"
#include "cli/client.h"

namespace mvr::cli {
namespace {

using nlohmann::json;

constexpr Duration kPatience{1'000};  // somebody waits at the prompt
constexpr std::string_view kFiles = ":files";

constexpr std::string_view kBash = R"(# bash completion for mvrunner
_mvrunner() {
  local word
  COMPREPLY=()
  while IFS=$'\t' read -r word _; do
    if [[ $word == :files ]]; then
      compopt -o default
    elif [[ $word == "${COMP_WORDS[COMP_CWORD]}"* ]]; then
      COMPREPLY+=("$word")
    fi
  done < <("${COMP_WORDS[0]}" complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _mvrunner mvrunner
)";

constexpr std::string_view kZsh = R"(#compdef mvrunner
_mvrunner() {
  local -a found
  local word text files
  while IFS=$'\t' read -r word text; do
    if [[ $word == :files ]]; then files=1; else found+=("${word//:/\\:}:$text"); fi
  done < <("${words[1]}" complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
  [[ -z $files ]] || _files
  (( ! ${#found} )) || _describe mvrunner found
}
if [[ ${funcstack[1]} == _mvrunner ]]; then _mvrunner "$@"; else compdef _mvrunner mvrunner; fi
)";

constexpr std::string_view kFish = R"(# fish completion for mvrunner
function __mvrunner_complete
    set -l words (commandline -opc) (commandline -ct)
    command $words[1] complete -- $words[2..-1] 2>/dev/null
end
complete -c mvrunner -f -a '(__mvrunner_complete | string match -v ":files*")'
complete -c mvrunner -F -n '__mvrunner_complete | string match -q ":files*"'
)";

struct ShellScript {
  std::string_view shell;
  std::string_view text;
};
constexpr std::array kScripts = {ShellScript{"bash", kBash}, ShellScript{"zsh", kZsh},
                                 ShellScript{"fish", kFish}};

struct Candidate {
  std::string word;
  std::string text;
};
using Candidates = std::vector<Candidate>;

// Answers of the daemon that runs, and the last VMs that ended: `logs` knows them too.
Candidates vm_names(const Context& context) {
  Candidates names;
  const auto ask_quickly = [&]() -> Result<json> {
    TRY_ASSIGN(const core::Config config, load_config(context, false));
    TRY_ASSIGN(Client client, Client::connect(config));
    TRY(client.set_limit(kPatience));
    TRY(client.send({{"op", "ps"}, {"all", true}}));
    TRY_ASSIGN(auto answer, client.receive());
    return answer.value_or(json::object());
  };
  const auto status = ask_quickly();
  if (!status) return names;
  for (const char* list : {"vms", "finished"}) {
    for (const auto& vm : status->value(list, json::array())) {
      names.push_back({vm.value("vm", std::string()), vm.value("job", std::string())});
    }
  }
  return names;
}

Candidates profile_names(const Context& context) {
  Candidates names;
  const auto config = load_config(context, false);
  if (!config) return names;
  for (const auto& profile : config->profiles) {
    names.push_back({profile.name, join(profile.labels, ", ")});
  }
  return names;
}

Candidates words(const std::vector<std::string>& all) {
  Candidates candidates;
  for (const auto& word : all) candidates.push_back({word, ""});
  return candidates;
}

// What an option or argument of this name takes: names have one meaning in all verbs.
Candidates values_of(const std::string& name, const Context& context) {
  if (name == "vm") return vm_names(context);
  if (name == "--profile" || name == "what") return profile_names(context);
  if (name == "-o,--output") return words({"table", "json"});
  if (name == "--builder") return words({"auto", "docker", "podman", "buildah"});
  if (name == "shell") return words({"bash", "zsh", "fish"});
  for (const char* file : {"--config", "--file", "--trace", "--with", "--deb", "file", "context",
                           "source", "command", "--token-file", "--app-key"}) {
    if (name.find(file) != std::string::npos) return words({std::string(kFiles)});
  }
  return {};
}

// Where a command line stands after the words before the one that is completed.
struct Place {
  const CLI::App* verb = nullptr;
  const CLI::Option* waiting = nullptr;  // an option that takes the word
  std::size_t positionals = 0;
};

const CLI::Option* find_option(const CLI::App* verb, const std::string& word) {
  for (; verb != nullptr; verb = verb->get_parent()) {
    for (const CLI::Option* option : verb->get_options()) {
      if (!option->get_positional() && option->check_name(word)) return option;
    }
  }
  return nullptr;
}

Place find_place(const CLI::App& root, const std::vector<std::string>& before) {
  Place place;
  place.verb = &root;
  for (const std::string& word : before) {
    if (place.waiting != nullptr) {
      place.waiting = nullptr;
    } else if (word.starts_with("-")) {
      const CLI::Option* option = find_option(place.verb, word);
      if (option != nullptr && option->get_items_expected_max() > 0) place.waiting = option;
    } else if (const auto verbs = place.verb->get_subcommands(
                   [&](const CLI::App* each) { return each->check_name(word); });
               !verbs.empty()) {
      place.verb = verbs.front();
    } else {
      ++place.positionals;
    }
  }
  return place;
}

Candidates options_of(const CLI::App* verb) {
  Candidates found;
  for (; verb != nullptr; verb = verb->get_parent()) {
    for (const CLI::Option* option : verb->get_options()) {
      if (option->get_positional() || option->get_group().empty()) continue;
      for (const std::string& name : option->get_lnames()) {
        found.push_back({"--" + name, option->get_description()});
      }
    }
  }
  return found;
}

Candidates arguments_of(const Place& place, const Context& context) {
  Candidates found;
  for (const CLI::App* verb : place.verb->get_subcommands({})) {
    // Groups of options are subcommands without a name; hidden verbs are without a group.
    if (place.positionals > 0 || verb->get_group().empty() || verb->get_name().empty()) continue;
    found.push_back({verb->get_name(), verb->get_description()});
  }
  std::size_t at = 0;
  for (const CLI::Option* option : place.verb->get_options()) {
    if (!option->get_positional() || at++ != place.positionals) continue;
    return values_of(option->get_name(), context);
  }
  return found;
}

void complete(const CLI::App& root, const Context& context, std::vector<std::string> before) {
  const std::string word = before.empty() ? "" : before.back();
  if (!before.empty()) before.pop_back();
  const Place place = find_place(root, before);
  Candidates found;
  if (place.waiting != nullptr) {
    found = values_of(place.waiting->get_name(false, true), context);
  } else if (word.starts_with("-")) {
    found = options_of(place.verb);
  } else {
    found = arguments_of(place, context);
  }
  for (const Candidate& each : found) {
    if (each.word == kFiles || each.word.starts_with(word)) {
      std::cout << printable(each.word, 200) << "\t" << printable(each.text, 200) << "\n";
    }
  }
}

}  // namespace

void register_completion(CLI::App& app, Context& context, int& /*exit_code*/) {
  CLI::App* print = app.add_subcommand("completion", "print the completion script of a shell");
  auto shell = std::make_shared<std::string>();
  print->add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  print->callback([shell] {
    for (const ShellScript& script : kScripts) {
      if (script.shell == *shell) std::cout << script.text;
    }
  });
  CLI::App* answer = app.add_subcommand("complete", "what may come next")->group("");
  auto line = std::make_shared<std::vector<std::string>>();
  answer->add_option("words", *line)->expected(-1);
  answer->callback([&app, &context, line] { complete(app, context, *line); });
}

}  // namespace mvr::cli
