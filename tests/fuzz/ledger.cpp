// Any bytes as a ledger: refused by an sbora::error, or read, written and read again as the same, and then claimed
// from, transferred and released, with no index twice.

#include <cstdlib>

#include <sbora/io/instances.hpp>
#include <sbora/io/ledger/ledger_file.hpp>

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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    check_read(sbora::parse_ledger(std::string_view(reinterpret_cast<const char*>(data), size)));
  } catch (const sbora::error&) {
  }
  return 0;
}
