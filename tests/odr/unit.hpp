#pragma once

#include <string>
#include <vector>

/// What a unit tells about itself. No sbora or Eigen type: those must not cross units with other flags.
struct unit_report {
  std::vector<double> exact;    // small integers all the way, so equal under any rounding
  std::vector<double> rounded;  // equal but for the order of rounding
  bool asserts = false;         // whether SBORA_ASSERT throws
  std::string isa;              // the level that it uses
};

namespace checked {
unit_report report();
}
namespace checked_again {
unit_report report();
}
namespace release {
unit_report report();
}
namespace separate {
unit_report report();
}
namespace separate_v3 {
unit_report report();
}
namespace v3 {
unit_report report();
}
namespace single {
unit_report report();
}
namespace single_v3 {
unit_report report();
}
