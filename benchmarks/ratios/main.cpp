/// ratios [NAME...]: measures the named ratios (all without a name), prints "ratio NAME VALUE" for each
/// on stdout and how it came about on stderr. --list: names and meanings; --names: names only;
/// --check NAME...: measures nothing.
/// Exit 0; 1 if a result was wrong or a measurement failed; 2 for an unknown name.

#include <algorithm>
#include <cstdio>
#include <exception>
#include <string_view>
#include <vector>

#include <sbora/sbora.hpp>

#include "../support/machine.hpp"
#include "registry.hpp"

namespace {

const bench::ratio* find(std::string_view name) {
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
  std::vector<const bench::ratio*> chosen;
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
    const bench::ratio* entry = find(argv[i]);
    if (entry == nullptr) {
      std::fprintf(stderr, "ratios: there is no ratio '%s'; the names are:\n", argv[i]);
      list(stderr);
      return 2;
    }
    chosen.push_back(entry);
  }
  if (check) return 0;
  if (chosen.empty()) {
    for (const bench::ratio& entry : bench::ratios()) chosen.push_back(&entry);
  }

  std::fprintf(stderr, "%s, %s, instruction set %s\n", bench::cpu_model().c_str(), bench::compiler().c_str(),
               sbora::to_string(sbora::active_isa()));
  int status = 0;
  for (const bench::ratio* entry : chosen) {
    std::fprintf(stderr, "%s: %s\n", entry->name, entry->what);
    try {
      const double start = bench::now();
      const double value = entry->measure();
      std::fprintf(stderr, "  took %.1f s\n", bench::now() - start);
      std::printf(value < 1000 ? "ratio %s %.4g\n" : "ratio %s %.0f\n", entry->name, value);
      std::fflush(stdout);
    } catch (const std::exception& problem) {
      std::fprintf(stderr, "  failed: %s\n", problem.what());
      status = 1;
    }
  }
  return status;
}
