// ## A model of them {#fewer_bytes_model}
//
// A model of such weights is the same predictor, bound with another way to keep them. It is a type
// of its own, since it has given up what a LanguageModel has: there are no parameters that could be
// trained or saved. It is made from a model, weight by weight, so that the two are never in memory
// together,

#include <mamba2/compact.hpp>

#include <utility>
#include <vector>

namespace mamba2 {

template <class Real>
CompactLanguageModel<Real>::CompactLanguageModel(LanguageModel<Real>&& model, WeightType type)
    : type_(type) {
  const LanguageModelConfig config = model.config();
  small_ = std::move(model).release();
  this->bind(config, small_,
             [type](Tensor<Real, 2>& numbers) { return compact_weight(numbers, type); });
}

// or while it is loaded. Then no more than one layer, and the tables of the vocabulary, ever stand
// in memory in full.

template <class Real>
CompactLanguageModel<Real>::CompactLanguageModel(const LanguageModelConfig& config,
                                                 const Source& source, WeightType type)
    : type_(type) {
  const std::vector<ParameterInfo> list = parameter_list(config);
  const auto branches = config.branches();
  const auto filled = [&](const ParameterInfo& info, auto tensor) {
    source(info, {tensor.data(), tensor.size()});
    return tensor;
  };
  const std::size_t rows = config.padded_vocab_size(), d_model = config.d_model();
  const std::size_t heads = config.tie_embeddings ? 0 : 1;
  small_.embedding_weight = filled(list.front(), zeros<Real>(rows, d_model));
  small_.norm_f_weight = filled(list[list.size() - 1 - heads], zeros<Real>(d_model));
  if (!config.tie_embeddings) small_.lm_head_weight = filled(list.back(), zeros<Real>(rows, d_model));
  small_.branches.resize(branches.size());
  auto next = list.begin() + 1;
  this->bind(
      config, small_, [type](Tensor<Real, 2>& numbers) { return compact_weight(numbers, type); },
      [&](std::size_t i) {
        small_.branches[i].norm_weight = filled(*next++, zeros<Real>(d_model));
        branches[i].mixer->set_zero(small_.branches[i].mixer);
        for (const std::span<Real> values : small_.branches[i].mixer.spans()) source(*next++, values);
      });
}

template class CompactLanguageModel<float>;
template class CompactLanguageModel<double>;

}  // namespace mamba2
