// Any bytes as a ledger: refused by an sbora::error, or read, written and read again as the same, and then claimed
// from, transferred and released, with no index twice. Mutated as a tree mostly: most random bytes are no JSON.

#include <cstdlib>

#include <sbora/io/instances.hpp>
#include <sbora/io/ledger/ledger_file.hpp>

#include "folder_mutations.hpp"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check_read(sbora::region_ledger ledger) {
  require(sbora::parse_ledger(ledger_text(ledger)) == ledger);
  const sbora::region_ledger before = ledger;
  for (const auto kind : {sbora::adapter_kind::fa, sbora::adapter_kind::fb}) {
    try {
      std::vector<sbora::region_request> requests;
      for (const auto& module : ledger.modules()) {
        if (module.d_out > 4096 || module.d_in > 4096) return;  // memory that a claim takes is linear in these
        requests.push_back({module.name, kind, 1});
      }
      ledger.claim("a task of the fuzzer's", requests, sbora::uniform_among_free(1));
      require(sbora::parse_ledger(ledger_text(ledger)) == ledger);  // which refuses an index twice
      ledger.transfer("a task of the fuzzer's", "another");
      ledger.release("another");
    } catch (const sbora::error&) {
    }
    if (!before.has("another") && !before.has("a task of the fuzzer's")) require(ledger == before);
  }
}

/// Two tasks, columns of one module and rows of another.
const fuzz::json& written() {
  static const fuzz::json tree = [] {
    sbora::region_ledger ledger({{"q", 8, 12}, {"v", 6, 12}}, 1);
    ledger.claim("math", {{"q", sbora::adapter_kind::fa, sbora::region(12, {3, 1})}});
    ledger.claim("law", {{"q", sbora::adapter_kind::fa, sbora::region(12, {0})},
                         {"v", sbora::adapter_kind::fb, sbora::region(6, {5})}});
    ledger.set_adapter("law", "adapters/law");
    return fuzz::json::parse(ledger_text(ledger));
  }();
  return tree;
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed) {
  fuzz::random_source random(seed);
  if (random() % 8 == 0) return LLVMFuzzerMutate(data, size, most);
  fuzz::json tree = fuzz::json::parse(data, data + size, nullptr, false);
  if (tree.is_discarded()) tree = written();
  for (unsigned changes = 1 + random() % 3; changes > 0; --changes) fuzz::mutate_tree(tree, random, written());
  const std::string text = fuzz::text_of(tree);
  if (text.size() > most) return LLVMFuzzerMutate(data, size, most);
  std::memcpy(data, text.data(), text.size());
  return text.size();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    check_read(sbora::parse_ledger(std::string_view(reinterpret_cast<const char*>(data), size)));
  } catch (const sbora::error&) {
  }
  return 0;
}
