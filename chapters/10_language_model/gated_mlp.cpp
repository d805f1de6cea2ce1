// ## A mixer that remembers nothing {#language_model_gated_mlp}
//
// The MLP of a second branch is the smallest mixer there is, and shows what each has to bring. Two
// products with a gate between them: half of what the first gives is multiplied by the SiLU of the
// other half,
//
// $$ \begin{bmatrix} v \\ g \end{bmatrix} = W_1 u, \qquad y = W_2\, (v \odot \silu(g)). $$ {#eq:gated_mlp}
//
// First, what there is to say of its parameters. The width inside is rounded up to a multiple of
// 128, as the reference does. Split over machines, each has a part of the hidden channels: rows of
// $W_1$, once among the values and once among the gates, and columns of $W_2$.

//: fold Its parameters
#include <mamba2/error.hpp>
#include <mamba2/gated_mlp.hpp>
#include <mamba2/mixers.hpp>

#include <cmath>

namespace mamba2 {

void GatedMlpConfig::check() const {
  require(d_model > 0, "d_model", "at least 1", "0");
  require(d_intermediate > 0, "d_intermediate", "at least 1", "0");
  require(multiple_of > 0, "multiple_of", "at least 1", "0");
}

std::vector<ParameterInfo> describe(const GatedMlpConfig& config) {
  using enum Split::How;
  const Section hidden{config.hidden()};
  const auto bound = [](std::size_t d_in) { return 1 / std::sqrt(static_cast<double>(d_in)); };
  return {{.name = "fc1.weight",
           .shape = {2 * config.hidden(), config.d_model},
           .axes = "(2 hidden, d_model)",
           .role = Role::weight,
           .decays = true,
           .split = {cut, 0, {hidden, hidden}},
           .initial = evenly(bound(config.d_model))},
          {.name = "fc2.weight",
           .shape = {config.d_model, config.hidden()},
           .axes = "(d_model, hidden)",
           .role = Role::output_weight,
           .decays = true,
           .split = {cut, 1, {hidden}},
           .initial = evenly(bound(config.hidden()))}};
}

// Then a mixer that computes from them. The gate is gated_norm() without a weight.

template <class Real>
GatedMlp<Real>::GatedMlp(const GatedMlpConfig& config, GatedMlpParameters<Real>& parameters,
                         const KeepWeight<Real>& keep)
    : config_(config) {
  config.check();
  check_shapes(config, parameters);
  fc1_ = keep(parameters.fc1_weight);
  fc2_ = keep(parameters.fc2_weight);
}

template <class Real>
void GatedMlp<Real>::compute(MatrixRef<const Real> u, const Operations<Real>& operations,
                             GatedMlpActivations<Real>& a, MatrixRef<Real> y) const {
  a.make_room(config_, u.rows);
  const MatrixRef<Real> both = as_matrix(a.both), gated = as_matrix(a.gated);
  fc1_->multiply(u, {}, both, operations);
  operations.gated_norm(column_block(both, 0, gated.columns),
                        column_block(both, gated.columns, gated.columns), {}, gated);
  fc2_->multiply(gated, {}, y, operations);
}

// There is no past. The rest of the interface, the cache without tensors and the step that is a
// pass of one token, stands in gated_mlp.hpp.

template class GatedMlp<float>;
template class GatedMlp<double>;
template class OneMixerConfig<GatedMlpConfig>;
template class OneMixerConfig<Mamba2Config>;

}  // namespace mamba2
