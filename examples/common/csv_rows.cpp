#include "common/csv_rows.hpp"

#include "common/error.hpp"

#ifdef EXAMPLES_HAS_CSV

#include <algorithm>
#include <exception>
#include <vector>

#include <csv.h>
#include <nlohmann/json.hpp>

namespace examples {
namespace {

/// libcsv's parser, whose records are fetched after each piece of text: no exception may pass through C.
class csv_reader {
 public:
  csv_reader() {
    if (csv_init(&parser_, CSV_STRICT | CSV_STRICT_FINI) != 0) throw std::bad_alloc();
    csv_set_space_func(&parser_, [](unsigned char) { return 0; });  // blanks are part of a field
  }
  ~csv_reader() { csv_free(&parser_); }
  csv_reader(const csv_reader&) = delete;
  csv_reader& operator=(const csv_reader&) = delete;

  /// The records that end in this piece, or, after `is_last`, at its end. False: a quote is out of place.
  bool read(std::string_view piece, bool is_last) {
    records_.clear();
    bool good = csv_parse(&parser_, piece.data(), piece.size(), add_field, end_record, this) == piece.size();
    if (good && is_last) good = csv_fini(&parser_, add_field, end_record, this) == 0;
    if (failed_) std::rethrow_exception(failed_);
    if (!good && csv_error(&parser_) == CSV_ENOMEM) throw std::bad_alloc();
    return good;
  }
  const std::vector<std::vector<std::string>>& records() const { return records_; }

 private:
  template <class Function>
  static void guarded(void* self, Function f) noexcept {
    auto& reader = *static_cast<csv_reader*>(self);
    try {
      f(reader);
    } catch (...) {
      reader.failed_ = std::current_exception();
    }
  }
  static void add_field(void* text, std::size_t size, void* self) {
    guarded(self, [&](csv_reader& reader) { reader.record_.emplace_back(static_cast<const char*>(text), size); });
  }
  static void end_record(int, void* self) {
    guarded(self, [](csv_reader& reader) {
      reader.records_.push_back(std::move(reader.record_));
      reader.record_.clear();
    });
  }

  csv_parser parser_{};
  std::vector<std::string> record_;
  std::vector<std::vector<std::string>> records_;
  std::exception_ptr failed_;
};

void check_names(const std::vector<std::string>& names, const std::string& path) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i].empty()) throw input_error(path + ": the first line has no name for field " + std::to_string(i));
    if (std::find(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(i), names[i]) !=
        names.begin() + static_cast<std::ptrdiff_t>(i)) {
      throw input_error(path + ": the first line has the name \"" + names[i].substr(0, 40) + "\" twice");
    }
  }
}

}  // namespace

void for_each_csv_row(std::string_view text, const std::string& path,
                      const std::function<void(const nlohmann::json& object, const std::string& where)>& f) {
  constexpr std::size_t piece = std::size_t{1} << 16;
  csv_reader reader;
  std::vector<std::string> names;
  std::size_t row = 0;
  const auto where = [&] { return names.empty() ? path + ": the first line" : path + ": row " + std::to_string(row); };
  for (bool is_last = false; !is_last;) {
    const std::string_view next = text.substr(0, piece);
    text.remove_prefix(next.size());
    is_last = text.empty();
    const bool good = reader.read(next, is_last);
    for (const std::vector<std::string>& record : reader.records()) {
      if (names.empty()) {
        check_names(record, path);
        names = record;
        continue;
      }
      if (record.size() != names.size()) {
        throw input_error(where() + ": the number of fields is " + std::to_string(record.size()) +
                          ", of names in the first line " + std::to_string(names.size()) +
                          "; a field with commas, quotes or line feeds goes in quotes");
      }
      nlohmann::json object = nlohmann::json::object();
      for (std::size_t i = 0; i < names.size(); ++i) object[names[i]] = record[i];
      f(object, where());
      ++row;
    }
    if (!good) {
      throw input_error(where() +
                        ": a quote is out of place; in CSV a field with quotes is in quotes, and each of its "
                        "own is doubled");
    }
  }
}

}  // namespace examples

#else

#include <nlohmann/json.hpp>

namespace examples {

void for_each_csv_row(std::string_view, const std::string& path,
                      const std::function<void(const nlohmann::json& object, const std::string& where)>&) {
  throw input_error(path + ": CSV needs libcsv, without which this program was built (Debian: libcsv-dev)");
}

}  // namespace examples

#endif
