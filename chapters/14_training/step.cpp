// ## One step {#training_step}
//
// Now all is there. The gradients of some batches are added up, the sum is clipped, the rate is
// looked up, the parameters move.
//
// Why *some* batches? A large batch gives a better gradient, but all that is kept for the way back
// has to fit into memory. Several small batches whose gradients are added up do the same in less
// memory, one after the other: this is called *accumulation*. Each place that is asked about has to
// count as one over the number of all such places, or the sum is as many times too long as there
// are batches.

#include <mamba2/error.hpp>
#include <mamba2/model_gradient.hpp>
#include <mamba2/training.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace mamba2 {

std::vector<Batch> batches_of_step(Batches& batches, std::uint64_t steps,
                                   const TrainingOptions& options) {
  std::vector<Batch> list;
  for (std::size_t i = 0; i < options.accumulate; ++i)
    list.push_back(batches.at(steps * options.accumulate + i));
  return list;
}

// Where the batches go on from each other, each row's state comes from the batch before. The
// *state* crosses the border, the gradient does not: the state is a given number, and nobody asks
// how it should have been. So a model that reads pieces of 256 tokens can learn to *use* what it
// was told a thousand tokens ago, as long as it has somehow come to keep it.

namespace {

/// How well the batches are predicted; the gradient of their mean loss is added to.
template <class Real>
CrossEntropy add_up(TrainingState<Real>& state, std::span<const Batch> batches,
                    const TrainingOptions& options, LanguageModelParameters<Real>& gradient) {
  const LanguageModel<Real>& model = state.model;
  std::size_t places = 0;
  for (const Batch& batch : batches) places += places_asked(batch.targets);
  require(places > 0, "targets", "at least one place that is asked about", "none");
  const double weight = 1 / static_cast<double>(places);
  CrossEntropy sum;
  for (const Batch& batch : batches) {
    const std::size_t rows = batch.ids.shape(0);
    LanguageModelCache<Real>* cache = options.batches.in_order ? &state.cache : nullptr;
    if (cache && (!batch.continues || cache->batch() != rows)) *cache = model.empty_cache(rows);
    sum += loss_and_gradients(model, batch.ids, batch.targets, gradient, {.weight = weight}, cache);
    if (cache) *cache = LanguageModelCache<Real>(*cache);  // the states alone, as a file keeps them
  }
  return sum;
}

void require_finite(double value, const char* what, std::uint64_t step) {
  if (!std::isfinite(value))
    throw DivergedError("step " + std::to_string(step) + ": the " + what + " is " +
                        (std::isnan(value) ? "not a number" : "infinite"));
}

}  // namespace

// A step that has gone wrong is found before it has done harm: loss and gradient are looked at
// first, and only then does the model change.

template <class Real>
StepReport training_step(TrainingState<Real>& state, std::span<const Batch> batches, double done,
                         const TrainingOptions& options) {
  require(!batches.empty(), "batches", "at least one", "none");
  const LanguageModelConfig& config = state.model.config();
  const std::uint64_t step = state.moments.steps;
  auto gradient = zero_parameters<Real>(config);
  StepReport report{.loss = add_up(state, batches, options, gradient).mean(),
                    .gradient_norm = 0,
                    .rate = options.schedule.rate(step, done)};
  require_finite(report.loss, "loss", step);
  report.gradient_norm = clip_gradient(config, gradient, options.clip_norm);
  require_finite(report.gradient_norm, "gradient", step);
  state.model.update([&](LanguageModelParameters<Real>& parameters) {
    adamw_step(config, parameters, gradient, state.moments, report.rate, options.adamw);
  });
  return report;
}

void TrainingOptions::check() const {
  adamw.check();
  schedule.check();
  batches.check();
  require(clip_norm > 0, "clip_norm", "above 0", std::to_string(clip_norm));
  require(accumulate > 0, "accumulate", "at least 1", "0");
}

// ## When it goes wrong {#training_diverge}
//
// A rate that is too high does not make a model that learns badly. It makes one that learns well
// for a while, then jumps out of its valley, and does not come back. The loss shows it: it rises,
// within a few steps, above where it began. One batch may be hard, so it is not the loss of one
// step that is watched but a running mean, corrected for its beginning like Adam's. One nat above
// the lowest that it has been is too much.

void LossWatch::add(double loss) {
  const double keep = 0.9;
  ++seen;
  const double share = (1 - keep) / (1 - std::pow(keep, static_cast<double>(seen)));
  smoothed += share * (loss - smoothed);
  lowest = std::min(lowest, smoothed);
}

#define MAMBA2_INSTANTIATE(Real)                                                          \
  template StepReport training_step(TrainingState<Real>&, std::span<const Batch>, double, \
                                    const TrainingOptions&);
MAMBA2_INSTANTIATE(float)
MAMBA2_INSTANTIATE(double)
#undef MAMBA2_INSTANTIATE

}  // namespace mamba2
