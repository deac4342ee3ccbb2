#pragma once

/// What the programs share is in namespace examples; each has a namespace of its own that sees it.
namespace examples {}
namespace byte_lm {
using namespace examples;
}
namespace llama {
using namespace examples;
}
namespace multi_task {
using namespace examples;
}
namespace sbora_tool {
using namespace examples;
}
