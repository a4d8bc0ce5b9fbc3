#include "sys/unix_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "helpers.h"

namespace mvr::sys {
namespace {

struct Pair {
  Fd here;
  Fd there;
};
Pair make_pair() {
  std::array<int, 2> raw{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, raw.data()) == 0);
  return Pair{Fd(raw[0]), Fd(raw[1])};
}

TEST_CASE("a client reaches the listener and both know each other") {
  const TempDir dir;
  const auto listener = listen_unix(dir / "s", 0600);
  REQUIRE(listener);
  const auto nobody = accept_unix(*listener);
  REQUIRE(nobody);
  CHECK_FALSE(nobody->has_value());
  const auto client = connect_unix(dir / "s");
  REQUIRE(client);
  const auto accepted = accept_unix(*listener);
  REQUIRE(accepted);
  REQUIRE(accepted->has_value());
  const auto peer = peer_credentials(**accepted);
  REQUIRE(peer);
  CHECK(peer->pid == ::getpid());
  CHECK(peer->uid == ::getuid());
  CHECK(peer->gid == ::getgid());
  REQUIRE(::write(client->get(), "hi", 2) == 2);
  std::array<char, 8> buffer{};
  CHECK(::read((*accepted)->get(), buffer.data(), buffer.size()) == 2);
}

TEST_CASE("the socket has exactly the mode asked for") {
  const TempDir dir;
  const mode_t old = ::umask(077);
  const auto listener = listen_unix(dir / "s", 0660);
  (void)::umask(old);
  REQUIRE(listener);
  struct stat status {};
  REQUIRE(::stat((dir / "s").c_str(), &status) == 0);
  CHECK((status.st_mode & 07777U) == 0660);
}

TEST_CASE("the socket of a dead listener is replaced, of a living one not") {
  const TempDir dir;
  auto first = listen_unix(dir / "s", 0600);
  REQUIRE(first);
  CHECK(listen_unix(dir / "s", 0600).error().code == Errc::exists);
  REQUIRE(first->close());
  CHECK(listen_unix(dir / "s", 0600));
}

TEST_CASE("a file that is no socket is left alone") {
  const TempDir dir;
  REQUIRE(write_file(dir / "s", "precious"));
  CHECK(listen_unix(dir / "s", 0600).error().code == Errc::exists);
  CHECK(read_file(dir / "s") == "precious");
}

TEST_CASE("connecting says what is wrong") {
  const TempDir dir;
  CHECK(connect_unix(dir / "absent").error().code == Errc::not_found);
  auto listener = listen_unix(dir / "s", 0600);
  REQUIRE(listener);
  REQUIRE(listener->close());
  CHECK(connect_unix(dir / "s").error().code == Errc::unavailable);
  CHECK(connect_unix("").error().code == Errc::invalid);
}

TEST_CASE("paths longer than an address work") {
  const TempDir dir;
  const std::string deep = dir / (std::string(80, 'd') + "/" + std::string(80, 'e'));
  REQUIRE(make_directories(deep));
  const std::string path = deep + "/socket";
  const auto listener = listen_unix(path, 0600);
  REQUIRE(listener);
  CHECK(connect_unix(path));
  CHECK(connect_unix(deep + "/" + std::string(120, 'n')).error().code == Errc::invalid);
}

TEST_CASE("a descriptor travels with its text") {
  const Pair pair = make_pair();
  const TempDir dir;
  REQUIRE(write_file(dir / "a", "contents"));
  const auto file = open_read(dir / "a");
  REQUIRE(file);
  REQUIRE(send_with_fd(pair.here.get(), "take this", file->get()));
  const auto received = receive_with_fd(pair.there.get(), 100);
  REQUIRE(received);
  CHECK(received->text == "take this");
  REQUIRE(received->fd);
  CHECK(received->fd.get() != file->get());
  CHECK((::fcntl(received->fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
  std::array<char, 16> buffer{};
  CHECK(::pread(received->fd.get(), buffer.data(), buffer.size(), 0) == 8);
}

TEST_CASE("text may come without a descriptor, and the end is empty") {
  Pair pair = make_pair();
  REQUIRE(send_with_fd(pair.here.get(), "text", -1));
  const auto received = receive_with_fd(pair.there.get(), 2);
  REQUIRE(received);
  CHECK(received->text == "te");
  CHECK_FALSE(received->fd);
  REQUIRE(pair.here.close());
  REQUIRE(receive_with_fd(pair.there.get(), 100));
  const auto end = receive_with_fd(pair.there.get(), 100);
  REQUIRE(end);
  CHECK(end->text.empty());
}

int count_open() {
  const auto names = list_directory("/proc/self/fd");
  REQUIRE(names);
  return static_cast<int>(names->size());
}

TEST_CASE("of several descriptors one is taken and none is leaked") {
  const Pair pair = make_pair();
  std::array<int, 3> many{0, 1, 2};
  alignas(cmsghdr) std::array<unsigned char, CMSG_SPACE(sizeof many)> control{};
  std::string text = "x";
  iovec part{text.data(), text.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof many);
  std::copy_n(reinterpret_cast<const unsigned char*>(many.data()), sizeof many, CMSG_DATA(header));
  REQUIRE(::sendmsg(pair.here.get(), &message, 0) == 1);
  const int before = count_open();
  const auto received = receive_with_fd(pair.there.get(), 100);
  REQUIRE(received);
  CHECK(count_open() == before + (received->fd ? 1 : 0));
}

TEST_CASE("sending to nobody is an error and no signal") {
  Pair pair = make_pair();
  REQUIRE(pair.there.close());
  CHECK(send_with_fd(pair.here.get(), "text", -1).error().code == Errc::unavailable);
  CHECK(send_with_fd(pair.here.get(), "", 0).error().code == Errc::invalid);
}

TEST_CASE("blocking can be switched off and on") {
  const Pair pair = make_pair();
  REQUIRE(set_nonblocking(pair.here, true));
  CHECK(receive_with_fd(pair.here.get(), 10).error().code == Errc::busy);
  REQUIRE(set_nonblocking(pair.here, false));
  CHECK((::fcntl(pair.here.get(), F_GETFL) & O_NONBLOCK) == 0);
  CHECK_FALSE(set_nonblocking(Fd(), true));
}

}  // namespace
}  // namespace mvr::sys
