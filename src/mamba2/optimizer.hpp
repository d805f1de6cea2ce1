/// \file optimizer.hpp
/// \brief From gradients to better parameters: AdamW, clipping, the rate over time. Explained in @chapter{training}.
#pragma once

#include <mamba2/language_model.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace mamba2 {

/// \brief The options of AdamW, Loshchilov & Hutter, arXiv 1711.05101.
struct AdamWOptions {
  double beta1 = 0.9;   ///< what the mean of the gradients keeps of itself at each step
  double beta2 = 0.95;  ///< what the mean of their squares keeps
  double eps = 1e-8;    ///< added to the root of the squares
  double weight_decay =
      0.1;  ///< times the rate: the share of a weight that is taken away at each step, where it decays

  /// \brief Refuse options that make no sense. \throws ValueError naming the option, what it may be and what it is
  void check() const;
  /// \brief Whether two say the same. \return true if all fields are equal
  bool operator==(const AdamWOptions&) const = default;
};

/// \brief The numbers of one parameter, and what AdamW knows of it. Nothing is owned; all are equally long.
template <class Real>
struct AdamWNumbers {
  std::span<Real> values;          ///< the parameter
  std::span<const Real> gradient;  ///< of the loss
  std::span<Real> mean;            ///< of the gradients so far, the late ones counting more: the first moment
  std::span<Real> square;          ///< the same of their squares: the second moment
};

/// \brief One step of AdamW for one parameter, Algorithm 2 of arXiv 1711.05101.
/// \param numbers values, mean and square change in place
/// \param step    which step it is, from 1
/// \param rate    the learning rate
/// \param decays  whether weight decay touches the parameter
/// \param options the others
/// \throws ShapeError for numbers of different lengths
/// \throws ValueError for step 0
template <class Real>
void adamw_update(const AdamWNumbers<Real>& numbers, std::uint64_t step, double rate, bool decays,
                  const AdamWOptions& options = {});

/// \brief What AdamW remembers of a model's gradients.
template <class Real>
struct Moments {
  LanguageModelParameters<Real> mean;    ///< of the gradients
  LanguageModelParameters<Real> square;  ///< of their squares
  std::uint64_t steps = 0;               ///< how many steps were made
};

/// \brief Moments of a model that has learnt nothing yet. \param config of the model \return zeros
template <class Real>
Moments<Real> zero_moments(const LanguageModelConfig& config);

/// \brief One step of AdamW for all parameters of a model; weight decay touches those that say so, ParameterInfo::decays.
/// \param config     of the model
/// \param parameters changed in place
/// \param gradient   of the loss with respect to them
/// \param moments    changed in place, the number of steps included
/// \param rate       the learning rate
/// \param options    the others
/// \throws ShapeError naming a parameter of another shape
template <class Real>
void adamw_step(const LanguageModelConfig& config, LanguageModelParameters<Real>& parameters,
                const LanguageModelParameters<Real>& gradient, Moments<Real>& moments, double rate,
                const AdamWOptions& options = {});

/// \brief The length of a gradient, all parameters taken as one vector.
/// \param config   of the model
/// \param gradient of any size
/// \return the root of the sum of all squares, computed in double
template <class Real>
double gradient_norm(const LanguageModelConfig& config, const LanguageModelParameters<Real>& gradient);

/// \brief Shorten a gradient that is too long; its direction stays.
/// \param config   of the model
/// \param gradient scaled in place
/// \param most     the length that it may have, above 0
/// \return the length that it had
/// \throws ValueError for a length that is not above 0
template <class Real>
double clip_gradient(const LanguageModelConfig& config, LanguageModelParameters<Real>& gradient, double most);

/// \brief The learning rate over time: up in a straight line, down along half a cosine.
struct Schedule {
  double peak = 3e-3;         ///< the highest rate
  double last = 0.1;          ///< the rate at the end, as a share of the highest
  std::uint64_t warmup = 50;  ///< over so many steps the rate goes up

  /// \brief The rate of a step.
  /// \param step which one, from 0
  /// \param done how much of the training is behind it, 0 to 1: of its steps, or of its time
  /// \return the learning rate
  double rate(std::uint64_t step, double done) const;
  /// \brief Refuse what makes no schedule. \throws ValueError naming the field, what it may be and what it is
  void check() const;
  /// \brief Whether two say the same. \return true if all fields are equal
  bool operator==(const Schedule&) const = default;
};

}  // namespace mamba2
