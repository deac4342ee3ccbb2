#pragma once

/// All that model's headers declare and don't define: PEFT's rules for names, with their regular expressions, and the
/// ledger of regions. In one unit of a program; <sbora/io/instances.hpp> has it too.

#include <sbora/model/make_adapter.inl>
#include <sbora/model/problem_list.inl>
#include <sbora/model/region_ledger.inl>
#include <sbora/model/target_rules.inl>
