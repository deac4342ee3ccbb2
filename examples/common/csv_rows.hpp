#pragma once

#include <functional>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace examples {

/// f(object, where) for every record of a CSV text (RFC 4180: commas, quotes where needed, fields of several lines), of
/// which the first names the fields. All values are strings, to the last blank.
///
/// Errors      input_error that names `path`, the row (from 0, as of a JSON array) and what is wrong: quotes, another
///             number of fields than names, names that are empty or come twice; and always where the program was built
///             without libcsv.
void for_each_csv_row(std::string_view text, const std::string& path,
                      const std::function<void(const nlohmann::json& object, const std::string& where)>& f);

}  // namespace examples
