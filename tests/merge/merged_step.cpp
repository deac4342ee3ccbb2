// merged_step gives the bits of unmerge, step and merge, and refuses before it changes anything.

#include <sbora/merge/merged_step.hpp>
#include <sbora/executors/thread_pool.hpp>
#include <sbora/optimisers/adamw_8bit.hpp>
#include <sbora/optimisers/lion.hpp>
#include <sbora/optimisers/muon.hpp>

#include "support/merge_problem.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;
using sbora::region;

namespace {

template <adapter_kind Kind, class Scalar, class Optimiser>
void check_step(sbora::storage order) {
  CAPTURE(Kind == adapter_kind::fa, order == sbora::storage::out_by_in);
  using T = typename merge_problem<Scalar>::T;
  merge_problem<Scalar> p(140, 150, order), q(140, 150, order);
  const region target = sbora::sample_region(Kind == adapter_kind::fa ? 150 : 140, 11, 3);
  auto fused = p.template adapter<Kind>(target, 1), apart = q.template adapter<Kind>(target, 1);
  sbora::merger<Scalar> fused_merger(p.view()), apart_merger(q.view());
  Optimiser fused_optimiser(fused.blocks()), apart_optimiser(apart.blocks());
  fused_merger.merge(fused);
  apart_merger.merge(apart);
  sbora::thread_pool pool(3);
  for (std::uint64_t step = 0; step < 4; ++step) {
    fill_random(fused.gradient(), 10 + step);
    fill_random(apart.gradient(), 10 + step);
    const sbora::step_options now = {0.05, 0.5};
    if (step % 2 == 0) sbora::merged_step(fused_merger, fused, fused_optimiser, now);
    else sbora::merged_step(fused_merger, fused, fused_optimiser, now, pool);
    apart_merger.unmerge(apart);
    apart_optimiser.step(apart.parameters(), apart.gradient(), now);
    apart_merger.merge(apart);
    CHECK(same_bits<T>(fused.parameters(), apart.parameters()));
    CHECK(p.weight_is(q.weight));
  }
  fused_merger.unmerge(fused);
  CHECK(p.weight_is_original());
}

}  // namespace

TEMPLATE_TEST_CASE("a merged step is unmerge, step and merge, bit for bit", "", float, double, Eigen::bfloat16,
                   Eigen::half) {
  using T = typename merge_problem<TestType>::T;
  for (const sbora::storage order : both_orders) {
    check_step<adapter_kind::fa, TestType, sbora::adamw<T>>(order);
    check_step<adapter_kind::fb, TestType, sbora::adamw<T>>(order);
    check_step<adapter_kind::fa, TestType, sbora::sgd<T>>(order);
    check_step<adapter_kind::fa, TestType, sbora::lion<T>>(order);
    check_step<adapter_kind::fb, TestType, sbora::muon<T>>(order);
    if constexpr (std::is_same_v<T, float>) check_step<adapter_kind::fb, TestType, sbora::adamw_8bit<T>>(order);
  }
}

TEST_CASE("a merged step over a single input column steps every parameter once") {
  merge_problem<float> p(32, 1, sbora::storage::out_by_in), q(32, 1, sbora::storage::out_by_in);
  const region target = sbora::sample_region(32, 16, 3);
  auto fused = p.adapter<adapter_kind::fb>(target, 1), apart = q.adapter<adapter_kind::fb>(target, 1);
  fill_random(fused.gradient(), 9);
  fill_random(apart.gradient(), 9);
  sbora::merger merger(p.view());
  merger.merge(fused);
  sbora::adamw<float> fused_optimiser(16), apart_optimiser(16);
  sbora::merged_step(merger, fused, fused_optimiser, {0.05});
  apart_optimiser.step(apart.parameters(), apart.gradient(), {0.05});
  CHECK(same_bits<float>(fused.parameters(), apart.parameters()));
}

TEST_CASE("a merged step at a plain learning rate is the one with that in its options") {
  const auto check = [](auto rate) {
    merge_problem<double> p(20, 30, sbora::storage::out_by_in), q(20, 30, sbora::storage::out_by_in);
    const region target(30, {4, 2, 29});
    auto plain = p.adapter<adapter_kind::fa>(target, 1), named = q.adapter<adapter_kind::fa>(target, 1);
    sbora::merger plain_merger(p.view()), named_merger(q.view());
    plain_merger.merge(plain);
    named_merger.merge(named);
    sbora::adamw<double> plain_optimiser(plain.blocks()), named_optimiser(named.blocks());
    sbora::thread_pool pool(2);
    for (std::uint64_t step = 0; step < 2; ++step) {
      fill_random(plain.gradient(), 10 + step);
      fill_random(named.gradient(), 10 + step);
      if (step == 0) sbora::merged_step(plain_merger, plain, plain_optimiser, rate);
      else sbora::merged_step(plain_merger, plain, plain_optimiser, rate, pool);
      const sbora::step_options options = {.learning_rate = static_cast<double>(rate), .gradient_scale = 1};
      sbora::merged_step(named_merger, named, named_optimiser, options);
      CHECK(same_bits<double>(plain.parameters(), named.parameters()));
      CHECK(p.weight_is(q.weight));
    }
    CHECK_FALSE(p.weight_is_original());
  };
  check(0.0625);
  check(0.1F);  // as float has it
  check(1);
}

TEST_CASE("a merged step that is refused changes nothing") {
  merge_problem<float> p(20, 30, sbora::storage::out_by_in);
  auto a = p.adapter<adapter_kind::fa>(region(30, {4, 2}), 1);
  const std::vector<float> parameters(a.parameters().begin(), a.parameters().end());
  sbora::merger merger(p.view());
  sbora::adamw<float> optimiser(a.parameter_count()), other(3);
  CHECK_ERROR(sbora::merge_error, "sbora::merged_step: the adapter isn't merged",
              sbora::merged_step(merger, a, optimiser, {0.1}));
  merger.merge(a);
  const padded_matrix<float> merged = p.weight;
  auto shorter =
      merge_problem<float>(10, 30, sbora::storage::out_by_in).adapter<adapter_kind::fa>(region(30, {4, 2}), 1);
  sbora::adamw_8bit<float> its_optimiser(shorter.parameter_count());
  CHECK_ERROR(sbora::shape_error, "the adapter is for a weight of 10 x 30",
              sbora::merged_step(merger, shorter, its_optimiser, {0.1}));
  CHECK(its_optimiser.steps() == 0);
  CHECK_ERROR(sbora::shape_error, "made for 3 parameters", sbora::merged_step(merger, a, other, {0.1}));
  CHECK_ERROR(sbora::config_error, "learning rate",
              sbora::merged_step(merger, a, optimiser, {std::numeric_limits<double>::infinity()}));
  a.gradient()[7] = std::numeric_limits<float>::quiet_NaN();
  CHECK_ERROR(sbora::not_finite_error, "sbora::merged_step: the gradient isn't finite",
              sbora::merged_step(merger, a, optimiser, {0.1}));
  CHECK(optimiser.steps() == 0);
  CHECK(same_bits<float>(a.parameters(), parameters));
  CHECK(p.weight_is(merged));
}
