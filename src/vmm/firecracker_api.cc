#include "vmm/firecracker_api.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "sys/unix_socket.h"
#include "vmm/jailer.h"

namespace mvr::vmm {
namespace {

using Json = nlohmann::json;

constexpr Duration kAnswer{2'000};
constexpr Duration kStateAnswer{10'000};
constexpr std::size_t kMaxBody = 64U << 10U;
constexpr off_t kLogTail = 16 * 1024;
constexpr std::size_t kMaxText = 300;

sys::HttpRequest request(const std::string& method, const std::string& path) {
  sys::HttpRequest request;
  request.method = method;
  request.url = "http://localhost" + path;
  request.deadline = kAnswer;
  request.connect_deadline = kAnswer;
  request.max_body = kMaxBody;
  return request;
}

// A VMM that was taken over may answer anything; its texts are shown to people.
tl::unexpected<Error> refusal(int status, std::string_view body) {
  const Json object = Json::parse(body, nullptr, false);
  const auto reason = object.is_object() ? object.find("fault_message") : object.end();
  if (status != 400 || !object.is_object() || reason == object.end() || !reason->is_string()) {
    return fail(Errc::protocol, "Firecracker answered HTTP " + std::to_string(status));
  }
  return fail(Errc::invalid,
              "Firecracker refused: " + printable(reason->get<std::string>(), kMaxText));
}

Result<std::string> text_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found != object.end() && found->is_string()) return found->get<std::string>();
  return fail(Errc::protocol, std::string("Firecracker's answer has no ") + name);
}

std::string_view exit_meaning(std::uint64_t code) {
  switch (code) {
    case 148:
      return "a system call that it may not make";
    case 149:
      return "SIGBUS: is the pool of huge pages too small?";
    case 150:
      return "SIGSEGV";
    case 151:
      return "a file outgrew its limit";
    case 152:
      return "a configuration that it does not take";
    case 153:
      return "arguments that it does not know";
    default:
      return "its log tells why";
  }
}

std::string tail_of(const std::string& path) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file) return {};
  const off_t size = ::lseek(file.get(), 0, SEEK_END);
  const off_t from = std::max<off_t>(size - kLogTail, 0);
  std::string text(static_cast<std::size_t>(std::max<off_t>(size - from, 0)), '\0');
  const ssize_t got = ::pread(file.get(), text.data(), text.size(), from);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text;
}

// "<...>/<id>/root/run/api.sock" -> "<id>"
std::string id_in(const std::filesystem::path& api) {
  return api.parent_path().parent_path().parent_path().filename();
}

class FirecrackerMonitor final : public Monitor {
 public:
  struct Target {
    Fd socket;  // a reference
    std::string id;
    std::string monitor_socket;
    std::string log;
    Arch arch = Arch::x86_64;
  };
  FirecrackerMonitor(sys::Loop& loop, Target target, std::unique_ptr<sys::HttpClient> client)
      : loop_(loop), target_(std::move(target)), client_(std::move(client)) {}

  void start() {
    call_ = send(describe_request(), [this](const Result<sys::HttpResponse>& answer) {
      if (answer) on_instance(decode_instance(answer->status, answer->body));
    });
  }

  void request_quit() override {
    wants_quit_ = true;
    if (is_known_) press();
  }

  std::string end_reason() override { return end_in_log(tail_of(target_.log)); }

  void save(const MachineSpec&, const std::string& directory, Done done) override {
    save_done_ = std::move(done);
    state_call_ = ask(pause_request(), [this, directory](Result<void> paused) {
      if (!paused) return run_on(std::move(paused));
      state_call_ = ask(save_request(), [this, directory](Result<void> written) {
        // Before the guest runs on: see take_state().
        if (written) written = take_state(target_.monitor_socket, directory);
        run_on(std::move(written));
      });
    });
  }

  void restore(const MachineSpec& spec) override {
    state_call_ = ask(load_request(spec), [](const Result<void>&) {});
  }

  // It takes one request after the other: one that a former daemon made has been done by then.
  void wake(std::function<void()> hopeless) override {
    sys::HttpRequest question = describe_request();
    question.deadline = kSaveLimit;
    state_call_ =
        send(std::move(question),
             [this, hopeless = std::move(hopeless)](const Result<sys::HttpResponse>& answer) {
               if (!answer) return;
               const auto instance = decode_instance(answer->status, answer->body);
               if (!instance || instance->id != target_.id) return;
               if (instance->state == "Not started") return hopeless();
               state_call_ = ask(resume_request(), [](const Result<void>&) {});
             });
  }

 private:
  std::unique_ptr<sys::HttpCall> ask(sys::HttpRequest request,
                                     std::function<void(Result<void>)> callback) {
    return send(std::move(request),
                [callback = std::move(callback)](Result<sys::HttpResponse> answer) {
                  callback(answer ? decode_done(answer->status, answer->body)
                                  : Result<void>(fail(std::move(answer).error())));
                });
  }

  // With the outcome of a save, which is told from a call of the loop's own: who is told may do
  // away with us.
  void run_on(Result<void> outcome) {
    state_call_ =
        ask(resume_request(), [this, outcome = std::move(outcome)](const Result<void>& resumed) {
          save_outcome_ = resumed ? outcome : resumed;
          told_ = loop_.call_at(loop_.now(), [this] {
            const Done done = std::move(save_done_);
            done(std::move(save_outcome_));
          });
        });
  }

  std::unique_ptr<sys::HttpCall> send(sys::HttpRequest request,
                                      sys::HttpClient::Callback callback) {
    // Longer than any address of a socket may be, its path is reached by the reference.
    request.unix_socket = "/proc/self/fd/" + std::to_string(target_.socket.get());
    return client_->send(std::move(request), std::move(callback));
  }

  void on_instance(const Result<InstanceInfo>& instance) {
    is_known_ = instance && instance->id == target_.id;
    if (is_known_ && wants_quit_) press();
  }

  // Best effort: the caller's ladder goes on. arm64 has no keyboard.
  void press() {
    if (target_.arch != Arch::x86_64) return;
    call_ = send(quit_request(), [](const Result<sys::HttpResponse>&) {});
  }

  sys::Loop& loop_;
  Target target_;
  std::unique_ptr<sys::HttpClient> client_;
  std::unique_ptr<sys::HttpCall> call_;        // the latest of those about its end
  std::unique_ptr<sys::HttpCall> state_call_;  // likewise, its state
  Done save_done_;
  Result<void> save_outcome_;
  sys::Timer told_;
  bool is_known_ = false;  // it is the VM we mean
  bool wants_quit_ = false;
};

}  // namespace

sys::HttpRequest describe_request() { return request("GET", "/"); }

namespace {

sys::HttpRequest order(const std::string& method, const std::string& path, std::string body,
                       Duration limit) {
  sys::HttpRequest order = request(method, path);
  order.headers["Content-Type"] = "application/json";
  order.body = std::move(body);
  order.deadline = limit;
  return order;
}

}  // namespace

sys::HttpRequest quit_request() {
  return order("PUT", "/actions", R"({"action_type":"SendCtrlAltDel"})", kAnswer);
}

sys::HttpRequest pause_request() {
  return order("PATCH", "/vm", R"({"state":"Paused"})", kStateAnswer);
}

sys::HttpRequest resume_request() {
  return order("PATCH", "/vm", R"({"state":"Resumed"})", kStateAnswer);
}

sys::HttpRequest save_request() {
  return order("PUT", "/snapshot/create", snapshot_create_body(), kSaveLimit);
}

sys::HttpRequest load_request(const MachineSpec& spec) {
  return order("PUT", "/snapshot/load", snapshot_load_body(spec), kStateAnswer);
}

Result<InstanceInfo> decode_instance(int status, std::string_view body) {
  if (status != 200) return refusal(status, body);
  const Json object = Json::parse(body, nullptr, false);
  if (!object.is_object()) return fail(Errc::protocol, "Firecracker's answer is no JSON object");
  InstanceInfo info;
  TRY_ASSIGN(info.id, text_of(object, "id"));
  TRY_ASSIGN(info.state, text_of(object, "state"));
  TRY_ASSIGN(info.version, text_of(object, "vmm_version"));
  TRY_ASSIGN(const std::string name, text_of(object, "app_name"));
  constexpr std::array<std::string_view, 3> kStates{"Not started", "Running", "Paused"};
  if (std::find(kStates.begin(), kStates.end(), info.state) == kStates.end()) {
    return fail(Errc::protocol, "a VM is \"" + printable(info.state, 40) + "\"");
  }
  if (name == "Firecracker") return info;
  return fail(Errc::protocol, "not Firecracker but \"" + printable(name, 40) + "\" answered");
}

Result<void> decode_done(int status, std::string_view body) {
  if (status == 204 && body.empty()) return {};
  return refusal(status, body);
}

std::string end_in_log(std::string_view log) {
  constexpr std::string_view kEnd = "Firecracker exiting ";
  constexpr std::string_view kGood = "successfully. exit_code=0";
  constexpr std::string_view kBad = "with error. exit_code=";
  const std::size_t at = log.rfind(kEnd);
  if (at == std::string_view::npos) return {};
  std::string_view rest = log.substr(at + kEnd.size());
  rest = rest.substr(0, rest.find_first_of("\r\n"));
  if (rest == kGood) return "guest-reset";
  if (!rest.starts_with(kBad)) return {};
  const auto code = parse_u64(rest.substr(kBad.size()));
  if (!code || *code > 255) return {};
  return "vmm-error " + std::to_string(*code) + ": " + std::string(exit_meaning(*code));
}

Result<std::unique_ptr<Monitor>> attach_firecracker(sys::Loop& loop,
                                                    const std::string& monitor_socket, Arch arch) {
  FirecrackerMonitor::Target target;
  TRY_ASSIGN(target.socket, find_api_socket(monitor_socket));
  std::error_code error;
  const auto api = std::filesystem::read_symlink(monitor_socket, error);
  target.id = id_in(api);
  target.monitor_socket = monitor_socket;
  target.log = std::filesystem::path(monitor_socket).parent_path() / "firecracker.log";
  target.arch = arch;
  // A VMM that has ended leaves its socket behind.
  TRY(context(sys::connect_unix("/proc/self/fd/" + std::to_string(target.socket.get())),
              monitor_socket));
  TRY_ASSIGN(auto client, sys::HttpClient::create(loop, "mvrunner"));
  auto monitor = std::make_unique<FirecrackerMonitor>(loop, std::move(target), std::move(client));
  monitor->start();
  return monitor;
}

}  // namespace mvr::vmm
