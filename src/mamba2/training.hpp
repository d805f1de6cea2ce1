/// \file training.hpp
/// \brief One step of training: batches in, better parameters out. Explained in @chapter{training}.
#pragma once

#include <mamba2/batches.hpp>
#include <mamba2/error.hpp>
#include <mamba2/language_model.hpp>
#include <mamba2/optimizer.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace mamba2 {

/// \brief A loss or a gradient is no finite number any more: training has to go back, and to go on more carefully.
class DivergedError : public Error {
 public:
  using Error::Error;
};

/// \brief How a model is trained.
struct TrainingOptions {
  AdamWOptions adamw;          ///< the optimiser
  Schedule schedule;           ///< the learning rate
  BatchOptions batches;        ///< how the text is cut
  double clip_norm = 1;        ///< the most that a gradient may be long
  std::size_t accumulate = 1;  ///< batches whose gradients make one step

  /// \brief Refuse options that make no sense. \throws ValueError naming the option, what it may be and what it is
  void check() const;
  /// \brief Whether two say the same. \return true if all fields are equal
  bool operator==(const TrainingOptions&) const = default;
};

/// \brief A model that is being trained.
template <class Real>
struct TrainingState {
  LanguageModel<Real> model;       ///< what has been learnt
  Moments<Real> moments;           ///< what AdamW remembers, and how many steps were made
  LanguageModelCache<Real> cache;  ///< where each row of the last batch ended, for those that go on there; else empty

  /// \brief A model before its first step. \param m the model
  explicit TrainingState(LanguageModel<Real> m) : model(std::move(m)), moments(zero_moments<Real>(model.config())) {}
};

/// \brief What there is to say of a step.
struct StepReport {
  double loss;           ///< mean cross-entropy of its batches before the step, nats per token
  double gradient_norm;  ///< the length of its gradient before clipping
  double rate;           ///< the learning rate
};

/// \brief One step: the gradient of the mean loss over some batches, clipped, and AdamW.
/// \param state   changed in place
/// \param batches at least one, all of the same number of tokens
/// \param done    how much of the training is behind it, 0 to 1; for the schedule
/// \param options how
/// \return loss, gradient and rate
/// \throws DivergedError if loss or gradient is not finite; the model is unchanged then
/// \throws ValueError for no batches, for an id outside the vocabulary, or where no place is asked for
///
/// Where a batch continues the one before, the state is carried on, but no gradient reaches back: truncated backpropagation.
template <class Real>
StepReport training_step(TrainingState<Real>& state, std::span<const Batch> batches, double done,
                         const TrainingOptions& options);

/// \brief The batches of the next step.
/// \param batches of the text
/// \param steps   how many steps were made
/// \param options how many batches make a step
/// \return that many
std::vector<Batch> batches_of_step(Batches& batches, std::uint64_t steps, const TrainingOptions& options);

/// \brief Follows the loss and sees when it runs away.
struct LossWatch {
  double smoothed = 0;  ///< the mean of the losses so far, the late ones counting more
  double lowest = std::numeric_limits<double>::infinity();  ///< the lowest that the mean has been
  std::uint64_t seen = 0;                                   ///< how many losses

  /// \brief One more. \param loss of a step
  void add(double loss);
  /// \brief Whether the mean has risen too far above where it was. \return true if training should stop
  bool diverged() const { return smoothed > lowest + 1; }
  /// \brief Whether the model is worth keeping. \return true if the mean is near the lowest that it has been
  bool good() const { return smoothed <= lowest + 0.5; }
};

}  // namespace mamba2
