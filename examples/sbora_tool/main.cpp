// sbora_tool: inspect, convert, merge and diff of SBoRA adapters and checkpoints, by sbora/io.hpp.

#include <cerrno>
#include <cstdio>
#include <exception>

#include <sbora/io/errors.hpp>

#include "commands.hpp"
#include "common/error.hpp"

namespace {

int run(const sbora_tool::options& options) {
  using namespace sbora_tool;
  if (const auto* set = std::get_if<inspect_options>(&options)) return inspect(*set);
  if (const auto* set = std::get_if<convert_options>(&options)) return convert(*set);
  if (const auto* set = std::get_if<merge_options>(&options)) return merge(*set);
  if (const auto* set = std::get_if<diff_options>(&options)) return diff(*set);
  if (const auto* set = std::get_if<multi_options>(&options)) return multi(*set);
  return 0;
}

/// Not there, not a file, or in use by the command itself: another path helps.
bool is_about_the_path(int code) {
  return code == ENOENT || code == ENOTDIR || code == EISDIR || code == ELOOP || code == ENAMETOOLONG || code == EBUSY;
}

int complain(const char* message, int code) {
  std::fprintf(stderr, "sbora_tool: %s\n", sbora::detail::readable(message).c_str());
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  int failed = 1;
  try {
    const sbora_tool::options options = sbora_tool::parse_options(argc, argv);
    if (std::holds_alternative<sbora_tool::diff_options>(options)) failed = 2;  // 1 is for "different"
    return run(options);
  } catch (const sbora_tool::input_error& error) {
    return complain(error.what(), 2);
  } catch (const sbora::file_error& error) {
    return complain(error.what(), is_about_the_path(error.code()) ? 2 : failed);
  } catch (const sbora::error& error) {  // files that aren't what they should be
    return complain(error.what(), 2);
  } catch (const std::exception& error) {
    return complain(error.what(), failed);
  }
}
