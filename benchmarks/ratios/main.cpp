/// ratios [NAME...]: measures the named ratios (all without a name), prints "ratio NAME VALUE" for each
/// on stdout and how it came about on stderr. NAME@LEVEL: with that level forced. --list: names and
/// meanings; --names: names only; --check NAME...: measures nothing.
/// Exit 0; 1 if a result was wrong or a measurement failed; 2 for an unknown name.

#include <algorithm>
#include <cstdio>
#include <exception>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <sbora/sbora.hpp>

#include "../support/machine.hpp"
#include "registry.hpp"

namespace {

/// NAME or NAME@LEVEL.
struct choice {
  const bench::ratio* entry;
  std::string name;
  sbora::isa level;

  explicit choice(const bench::ratio& whole) : entry(&whole), name(whole.name), level(sbora::active_isa()) {}
  explicit choice(const std::string& text) : entry(nullptr), name(text), level(sbora::active_isa()) {
    const std::size_t at = text.find('@');
    entry = find(text.substr(0, at));
    if (at == std::string::npos) return;
    const std::string wanted = text.substr(at + 1);
    const auto* const known = std::find_if(std::begin(sbora::all_levels), std::end(sbora::all_levels),
                                           [&](sbora::isa each) { return wanted == sbora::to_string(each); });
    if (known == std::end(sbora::all_levels) || !sbora::is_supported(*known)) entry = nullptr;
    else level = *known;
  }

 private:
  static const bench::ratio* find(std::string_view name);
};

const bench::ratio* choice::find(std::string_view name) {
  const auto table = bench::ratios();
  const auto found =
      std::find_if(table.begin(), table.end(), [&](const bench::ratio& entry) { return name == entry.name; });
  return found == table.end() ? nullptr : &*found;
}

void list(std::FILE* out) {
  for (const bench::ratio& entry : bench::ratios()) {
    std::fprintf(out, "%-24s %-7s %s\n", entry.name, entry.bar, entry.what);
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<choice> chosen;
  const std::string_view option = argc > 1 ? argv[1] : "";
  if (option == "--list") {
    list(stdout);
    return 0;
  }
  if (option == "--names") {
    for (const bench::ratio& entry : bench::ratios()) std::printf("%s\n", entry.name);
    return 0;
  }
  const bool check = option == "--check";
  for (int i = check ? 2 : 1; i < argc; ++i) {
    chosen.emplace_back(std::string(argv[i]));
    if (chosen.back().entry == nullptr) {
      std::fprintf(stderr, "ratios: there is no ratio '%s', or no such level here; the names are:\n", argv[i]);
      list(stderr);
      return 2;
    }
  }
  if (check) return 0;
  if (chosen.empty()) {
    for (const bench::ratio& entry : bench::ratios()) chosen.emplace_back(entry);
  }

  std::fprintf(stderr, "%s, %s\n", bench::cpu_model().c_str(), bench::compiler().c_str());
  int status = 0;
  for (const choice& each : chosen) {
    std::fprintf(stderr, "%s: %s; instruction set %s\n", each.name.c_str(), each.entry->what,
                 sbora::to_string(each.level));
    try {
      const double start = bench::now();
      sbora::force_isa(each.level);
      const double value = each.entry->measure();
      std::fprintf(stderr, "  took %.1f s\n", bench::now() - start);
      std::printf(value < 1000 ? "ratio %s %.4g\n" : "ratio %s %.0f\n", each.name.c_str(), value);
      std::fflush(stdout);
    } catch (const std::exception& problem) {
      std::fprintf(stderr, "  failed: %s\n", problem.what());
      status = 1;
    }
  }
  return status;
}
