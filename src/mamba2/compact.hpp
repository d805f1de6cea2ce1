/// \file compact.hpp
/// \brief Weights in fewer bytes. Explained in @chapter{fewer_bytes}.
#pragma once

#include <mamba2/language_model.hpp>
#include <mamba2/linear.hpp>
#include <mamba2/tensor.hpp>
#include <mamba2/weight_type.hpp>

#include <functional>
#include <span>

namespace mamba2 {

/// \brief Round a weight to fewer bytes.
/// \param numbers (d_out, d_in); empty on return, so that both are never in memory together longer than needed
/// \param type    bfloat16 or int8
/// \return the same weight, rounded; as int8, a row that holds an infinity or a NaN is all NaN
/// \throws ValueError for the type full
///
/// Products may round the tokens, too, see multiplies_bfloat16().
template <class Real>
WeightPtr<Real> compact_weight(Tensor<Real, 2>& numbers, WeightType type);

/// \brief A language model with the weights of embedding, projections and head in fewer bytes: a half or a quarter of the memory,
/// and of the bytes for a step to read. It has no parameters, so it can neither be trained nor saved.
template <class Real>
class CompactLanguageModel final : public Predictor<Real> {
 public:
  /// \brief What writes the numbers of a parameter where they belong. \param info of the parameter \param values receives them
  using Source = std::function<void(const ParameterInfo& info, std::span<Real> values)>;

  /// \brief A model made from another, which is used up: weight by weight, so that little more memory is needed than it had.
  /// \param model the model
  /// \param type  bfloat16 or int8
  /// \throws ValueError for the type full
  CompactLanguageModel(LanguageModel<Real>&& model, WeightType type);
  /// \brief A model that is rounded while it is loaded: no more than one layer is in memory as Real.
  /// \param config sizes and options
  /// \param source where the numbers come from
  /// \param type   bfloat16 or int8
  /// \throws ValueError if the configuration makes no model, or for the type full
  CompactLanguageModel(const LanguageModelConfig& config, const Source& source, WeightType type);
  CompactLanguageModel(CompactLanguageModel&&) noexcept = default;
  CompactLanguageModel& operator=(CompactLanguageModel&&) noexcept = default;
  ~CompactLanguageModel() override = default;

  /// \brief How the large weights are kept. \return bfloat16 or int8
  WeightType weight_type() const { return type_; }

 private:
  LanguageModelParameters<Real> small_;  // what is not rounded
  WeightType type_;
};

}  // namespace mamba2
