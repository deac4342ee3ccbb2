// Files replaced whole or not at all: what is open is not replaced, and the system's refusals are errors.

#include <csignal>

#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include <sbora/io/safetensors/safetensors_file.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>

#include "io/safetensors_text.hpp"
#include "support/catch.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::atomic_file;

namespace {

std::size_t files_in(const std::filesystem::path& directory) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(directory), {}));
}

/// The errno of the file_error that f throws, which names `path`; 0 without one.
template <class Function>
int code_of(const std::filesystem::path& path, Function&& f) {
  try {
    f();
  } catch (const sbora::file_error& error) {
    CHECK(error.path() == path);
    CHECK_THAT(error.what(), contains(path.string()));
    return error.code();
  }
  return 0;
}

void replace(const std::filesystem::path& path, const std::string& text) {
  atomic_file file(path);
  file.write(text);
  file.commit();
}

const std::vector<float> numbers = {1, 2, 3};

}  // namespace

TEST_CASE("nothing happens before commit, and all at it") {
  const temporary_directory directory;
  const auto path = directory / "x";
  write_file(path, "old");
  {
    atomic_file file(path);
    file.write("new");
    CHECK(files_in(directory.path()) == 2);
    CHECK(read_file(path) == "old");
  }
  CHECK(read_file(path) == "old");
  CHECK(files_in(directory.path()) == 1);

  atomic_file first(path);
  first.write("ne");
  atomic_file file = std::move(first);
  file.write("w");
  file.commit();
  CHECK(read_file(path) == "new");
  CHECK(files_in(directory.path()) == 1);
  CHECK_ERROR(sbora::file_error, "it was committed", file.write("more"));
  CHECK_ERROR(sbora::file_error, "it was committed", file.commit());
  CHECK_ERROR(sbora::file_error, "it was committed", file.reserve(1));
}

TEST_CASE("permissions stay; a new file has those of any; a link is replaced, not what it names") {
  const temporary_directory directory;
  const auto mode = [&](const char* name) {
    return static_cast<unsigned>(std::filesystem::status(directory / name).permissions());
  };
  write_file(directory / "private", "old");
  std::filesystem::permissions(directory / "private", std::filesystem::perms{0600});
  replace(directory / "private", "new");
  CHECK(mode("private") == 0600);
  write_file(directory / "any", "");
  replace(directory / "fresh", "new");
  CHECK(mode("fresh") == mode("any"));

  std::filesystem::create_symlink("any", directory / "link");
  replace(directory / "link", "new");
  CHECK(read_file(directory / "any").empty());
  CHECK(read_file(directory / "link") == "new");
  CHECK(!std::filesystem::is_symlink(directory / "link"));
}

TEST_CASE("at no moment may anybody read the new file who may not read the old one, or what it is made of") {
  const temporary_directory directory;
  const mode_t mask = ::umask(0);
  struct stat status;
  const auto mode_of_temporary = [&](const std::filesystem::path& of) {  // before a byte is written
    for (const auto& entry : std::filesystem::directory_iterator(directory.path())) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("." + of.filename().string())) REQUIRE(::stat(entry.path().c_str(), &status) == 0);
    }
    return status.st_mode & 07777U;
  };
  write_file(directory / "private", "old");
  ::chmod((directory / "private").c_str(), 0600);
  for (const unsigned mode : {0600U, 0640U, 0604U, 0400U, 0644U}) {
    write_file(directory / "x", "old");
    ::chmod((directory / "x").c_str(), mode);
    const atomic_file file(directory / "x");
    CHECK(mode_of_temporary("x") == mode);
    ::unlink((directory / "x").c_str());
  }
  {
    atomic_file made(directory / "new", directory / "private");
    CHECK(mode_of_temporary("new") == 0600);
    made.commit();
    const atomic_file any(directory / "any");
    CHECK(mode_of_temporary("any") == 0666);
  }
  if (::geteuid() == 0) {  // owner and group come along, and where the group can't, it may what others may
    const auto given = directory / "given";
    write_file(given, "old");
    ::chmod(given.c_str(), 0640);
    REQUIRE(::chown(given.c_str(), 1234, 1235) == 0);
    replace(given, "new");
    REQUIRE(::stat(given.c_str(), &status) == 0);
    CHECK(status.st_uid == 1234);
    CHECK(status.st_gid == 1235);
    CHECK((status.st_mode & 07777U) == 0640);
    ::chmod(directory.path().c_str(), 0777);
    ::chmod(given.c_str(), 0654);
    const pid_t child = ::fork();
    if (child == 0) {
      if (::setgid(4000) != 0 || ::setuid(4000) != 0) ::_exit(2);
      replace(given, "newer");
      ::_exit(0);
    }
    int left = 0;
    ::waitpid(child, &left, 0);
    REQUIRE(left == 0);
    REQUIRE(::stat(given.c_str(), &status) == 0);
    CHECK(status.st_gid == 4000);
    CHECK((status.st_mode & 07777U) == 0644);
  }
  ::umask(mask);
}

TEST_CASE("an access list comes along, or nobody has more than the others") {
  const temporary_directory directory;
  write_file(directory / "x", "old");
  // user::rw- user:1234:r-- group::--- mask::r-- other::---: the mode's group bits are the mask.
  const unsigned char list[] = {2, 0,    0,    0,    1,    0,    6,    0, 0xFF, 0xFF, 0xFF, 0xFF, 2,    0,    4,
                                0, 0xD2, 4,    0,    0,    4,    0,    0, 0,    0xFF, 0xFF, 0xFF, 0xFF, 0x10, 0,
                                4, 0,    0xFF, 0xFF, 0xFF, 0xFF, 0x20, 0, 0,    0,    0xFF, 0xFF, 0xFF, 0xFF};
  if (::setxattr((directory / "x").c_str(), "system.posix_acl_access", list, sizeof list, 0) != 0) {
    WARN("no access lists here");
    return;
  }
  replace(directory / "x", "new");
  unsigned char now[sizeof list + 1] = {};
  CHECK(::getxattr((directory / "x").c_str(), "system.posix_acl_access", now, sizeof now) == sizeof list);
  CHECK(std::memcmp(now, list, sizeof list) == 0);
}

TEST_CASE("the other names of a hard link keep the old file") {
  const temporary_directory directory;
  write_file(directory / "x", "old");
  std::filesystem::create_hard_link(directory / "x", directory / "other");
  replace(directory / "x", "new");
  CHECK(read_file(directory / "x") == "new");
  CHECK(read_file(directory / "other") == "old");
}

TEST_CASE("a name without a directory, and the longest name") {
  const temporary_directory directory;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(directory.path());
  replace("here", "new");
  std::filesystem::current_path(before);
  CHECK(read_file(directory / "here") == "new");
  replace(directory / std::string(255, 'n'), "new");
  CHECK(read_file(directory / std::string(255, 'n')) == "new");
  const auto longer = directory / std::string(256, 'n');
  CHECK(code_of(longer, [&] { replace(longer, "new"); }) == ENAMETOOLONG);
  CHECK(files_in(directory.path()) == 2);
}

TEST_CASE("what is no regular file is refused, not replaced") {
  const temporary_directory directory;
  REQUIRE(::mkfifo((directory / "pipe").c_str(), 0600) == 0);
  CHECK(code_of(directory / "pipe", [&] { replace(directory / "pipe", "new"); }) == EINVAL);
  CHECK(std::filesystem::is_fifo(directory / "pipe"));
  CHECK(files_in(directory.path()) == 1);
}

TEST_CASE("after prepare, the target is the old file until commit") {
  const temporary_directory directory;
  write_file(directory / "x", "old");
  atomic_file file(directory / "x");
  file.write("new");
  file.prepare();
  CHECK(read_file(directory / "x") == "old");
  file.commit();
  CHECK(read_file(directory / "x") == "new");
}

TEST_CASE("temporary files of processes that were killed are in nobody's way") {
  const temporary_directory directory;
  for (int i = 0; i < 500; ++i) {
    write_file(directory / (".x." + std::to_string(::getpid()) + "-" + std::to_string(i) + ".tmp"), "stray");
  }
  replace(directory / "x", "new");
  CHECK(read_file(directory / "x") == "new");
  CHECK(files_in(directory.path()) == 501);
}

TEST_CASE("a file that is mapped isn't replaced, by whatever name") {
  const temporary_directory directory;
  const auto path = directory / "x.safetensors";
  const std::vector<sbora::tensor_view> tensors = {tensor_of("w", numbers, {3})};
  write_safetensors(path, tensors);
  const auto old = read_file(path);
  std::filesystem::create_symlink(path, directory / "link");
  std::filesystem::create_hard_link(path, directory / "hard");
  {
    const auto file = sbora::safetensors_file::open(path);
    const auto again = sbora::safetensors_file::open(path);
    for (const char* const name : {"x.safetensors", "link", "hard"}) {
      const auto target = directory / name;
      CHECK(code_of(target, [&] { write_safetensors(target, tensors); }) == EBUSY);
      CHECK_ERROR(sbora::file_error, "this program has it open, mapped", atomic_file{target});
    }
    CHECK(read_file(path) == old);
    CHECK(file.at("w").values<float>()[2] == 3);
  }
  CHECK(files_in(directory.path()) == 3);
  replace(directory / "hard", "new");  // another file from now on
  write_safetensors(path, tensors);
  CHECK(read_file(path) == old);

  atomic_file late(path);
  late.write("new");
  {
    sbora::mapped_file moved = sbora::mapped_file(path);
    const sbora::mapped_file mapped = std::move(moved);
    CHECK_ERROR(sbora::file_error, "mapped into memory", late.commit());
  }
  CHECK(read_file(path) == old);
  CHECK(files_in(directory.path()) == 3);
}

TEST_CASE("folders that are missing, none, or the target itself") {
  const temporary_directory directory;
  write_file(directory / "file", "");
  const auto refused = [&](const std::filesystem::path& path) {
    return code_of(path, [&] { write_safetensors(path, std::vector{tensor_of("w", numbers, {3})}); });
  };
  CHECK(refused(directory / "none/x") == ENOENT);
  CHECK(refused(directory / "file/x") == ENOTDIR);
  CHECK(refused(directory.path()) == EISDIR);
  CHECK(refused("") == ENOENT);
  CHECK_ERROR(sbora::file_error, "none/x: No such file or directory", replace(directory / "none/x", ""));
}

TEST_CASE("an unwritable folder is an error that names it") {
  const temporary_directory directory;
  const auto path = directory / "x";
  write_file(path, "old");
  std::filesystem::permissions(directory.path(), std::filesystem::perms{0555});
  // In a process of its own, which may not be root: root writes anywhere.
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    if (::geteuid() == 0 && ::seteuid(65534) != 0) ::_exit(3);
    try {
      replace(path, "new");
    } catch (const sbora::file_error& error) {
      const bool named =
          std::string(error.what()) ==
          "sbora: writing " + path.string() + ": Permission denied; get the right to it, or choose another place";
      ::_exit(error.code() == EACCES && named ? 0 : 2);
    }
    ::_exit(1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(read_file(path) == "old");
  CHECK(files_in(directory.path()) == 1);
  std::filesystem::permissions(directory.path(), std::filesystem::perms{0755});
}

TEST_CASE("a limit on file sizes ends writing with an error, and the old file stays") {
  const temporary_directory directory;
  const auto path = directory / "x";
  write_file(path, "old");
  rlimit before;
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  rlimit small = before;
  small.rlim_cur = 100'000;
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  const std::string text(1000, 'n');
  const int unreserved = code_of(path, [&] {
    atomic_file file(path);
    for (int i = 0; i < 200; ++i) file.write(text);
  });
  const std::vector<float> many(50'000, 1);
  const int whole = code_of(path, [&] { write_safetensors(path, std::vector{tensor_of("w", many, {50'000})}); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  CHECK(unreserved == EFBIG);
  CHECK(whole == EFBIG);
  CHECK(read_file(path) == "old");
  CHECK(files_in(directory.path()) == 1);
}

TEST_CASE("a full disk is an error that says so, and its space is free again") {
  const temporary_directory directory;
  if (::mount("sbora", directory.path().c_str(), "tmpfs", 0, "size=1m") != 0) {
    WARN("not tested: mounting a small file system needs root");
    return;
  }
  const auto path = directory / "x";
  write_file(path, "old");
  const std::string half(500'000, 'n');
  atomic_file unreserved(path);
  unreserved.write(half);
  const int writing = code_of(path, [&] {
    unreserved.write(half);
    unreserved.write(half);
  });
  const std::string after = message_of<sbora::file_error>([&] { unreserved.commit(); });
  const std::vector<float> many(400'000, 1);
  const std::string message =
      message_of<sbora::file_error>([&] { write_safetensors(path, std::vector{tensor_of("w", many, {400'000})}); });
  const bool old = read_file(path) == "old";
  const std::size_t files = files_in(directory.path());
  replace(path, half + "fits");
  const bool fits = read_file(path) == half + "fits";
  ::umount(directory.path().c_str());
  CHECK(writing == ENOSPC);
  CHECK_THAT(after, contains("writing it failed before"));
  CHECK(message ==
        "sbora: writing " + path.string() + ": No space left on device; free some space, or choose another place");
  CHECK(old);
  CHECK(files == 1);
  CHECK(fits);
}
