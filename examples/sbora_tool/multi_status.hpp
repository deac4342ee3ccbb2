#pragma once

#include <string>

#include <sbora/model/region_ledger.hpp>

namespace sbora_tool {

/// Who owns what, for a terminal: a bar for each module, and what is left.
std::string ledger_bars(const sbora::region_ledger& ledger);

/// The same as an SVG: a strip for each module, a colour for each task.
std::string ledger_picture(const sbora::region_ledger& ledger);

}  // namespace sbora_tool
