#pragma once

/// All that model's headers declare and don't define: PEFT's rules for names, with their regular expressions. In one
/// unit of a program; <sbora/io/instances.hpp> has it too.

#include <sbora/model/make_adapter.inl>
#include <sbora/model/problem_list.inl>
#include <sbora/model/target_rules.inl>
