#pragma once

/// Prints which kernels run. 0; 77, "skipped" to ctest, where SBORA_FORCE_ISA asks for a level that this
/// machine lacks; 1 where it asks in vain.
int check_level();
