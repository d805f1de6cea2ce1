// # Training {#ch_training}
// @summary From gradients to a model that has learnt: AdamW, which parameters decay, the order of the text, and a run that can be interrupted.
//
// The gradient says of each of a model's numbers in which direction it should move, and of all of
// them together how much the loss would change if they moved a very little. It does not say how
// far to go. A step that is too short wastes a day, and one that is too long ruins the model. That
// is most of what there is to training: many steps, each a little one, none of them ruinous.
//
// The rest is care. Which numbers may be pulled towards zero and which must not? In what order is
// the text read, and can that order be had again? What if the lights go out after nine of ten
// hours? At the end of this chapter a model trains on a text of your own with one command, stops
// when you press Ctrl-C, and goes on as if nothing had been.
//
// ## What it builds on {#training_builds_on}
//
// From @chapter{backward} the gradients, loss_and_gradients(). From @chapter{language_model} the
// model, its configuration and its files; from @chapter{mamba2_block} the walk over parameters and
// what it says of each; from @chapter{selection} the Random numbers.
//
// ## Shapes {#training_shapes}
//
// ::: shapes
// | name | shape | what it is |
// |---|---|---|
// | $w$, $g$ | any, equal | a parameter, and the gradient of the loss with respect to it |
// | $m$, $v$ | the same | AdamW's two moments |
// | `ids`, `targets` | (batch, seqlen) | pieces of text, and the token after each of theirs |
// | $\eta$ | scalar | the learning rate |
// :::
//
// ## How far to go {#training_adam}
//
// The plain rule is $w \leftarrow w - \eta\, g$, with one small $\eta$ for all. Think of a loss of
// two weights, a long valley with steep sides. Along the valley the gradient is small and the way
// is long; across it the gradient is large and the way is short. The plain rule does the opposite
// of what is needed: it takes large steps across, jumps from side to side, and creeps along. An
// $\eta$ small enough for the sides is far too small for the floor.
//
// ::: figure valley
// Forty steps down a valley whose sides are a hundred times as steep as its floor. The plain rule
// zigzags and has not got far. Adam gives both weights steps of like length, however steep it is.
// :::
//
// Adam's answer [@kingma2015] has two parts. First, replace the gradient by a running mean of the
// last ones, $m$: what points to the left and to the right in turn cancels, what always points the
// same way stays. Second, measure how large the gradients of this weight usually are, by a running
// mean of their squares, $v$, and divide by its root. Then each weight has its own unit, and
// $\eta$ says how many units it may move. Whether its gradients are millionths or thousands no
// longer matters.
//
// $$
// \begin{aligned}
// m &\leftarrow \beta_1 m + (1 - \beta_1)\, g \\
// v &\leftarrow \beta_2 v + (1 - \beta_2)\, g^2
// \end{aligned}
// $$ {#eq:moments}
//
// Both begin at zero, and a running mean that begins at zero is too small at first: after one step
// $m$ is only $(1 - \beta_1)\, g$. It holds a share $1 - \beta_1^t$ of true gradients after $t$
// steps, so dividing by that share makes it right.
//
// $$ w \leftarrow w - \eta\, \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \varepsilon} $$ {#eq:adam}
//
// Look at the first step, $t = 1$. The fraction is $g / (|g| + \varepsilon)$: the sign of the
// gradient, nothing else. Every weight moves by $\eta$.
//
// ## Which weights shrink {#training_decay}
//
// One thing is added. Besides the step, each weight is made a little smaller,
//
// $$ w \leftarrow (1 - \eta \lambda)\, w, $$ {#eq:decay}
//
// so that a weight which no gradient keeps alive goes back to zero. It is a mild preference for
// simple models. The W in AdamW [@loshchilov2019] says that this happens beside @eqref{eq:adam},
// not inside of it: were $\lambda w$ added to the gradient, it would be divided by $\sqrt v$ like
// the rest, and weights with large gradients would hardly decay.
//
// But not every parameter is a weight that is better small.
//
// - `A_log` is the logarithm of a rate. Pulled to zero, every head would come to forget at the
//   rate 1, whatever it has learnt. Zero is not *less* here, it is just another rate.
// - `dt_bias` goes through the softplus. At zero the step size is $\ln 2$, some seven times the
//   largest that the model starts with: it would forget within a few tokens.
// - `D` is the way past the state, and begins at one.
// - The weights of norms begin at one, too. At zero they would switch their branch off.
// - Biases have no scale to lose: a shift by a constant is no more complicated than none.
//
// @Chapter{mamba2_block} wrote this down for each parameter, `decays`, long before it was needed.
// What decays are the matrices, the taps of the convolution, and the embedding.

#include <mamba2/error.hpp>
#include <mamba2/optimizer.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

namespace mamba2 {

template <class Real>
void adamw_update(const AdamWNumbers<Real>& numbers, std::uint64_t step, double rate, bool decays,
                  const AdamWOptions& options) {
  const auto& [w, g, m, v] = numbers;
  if (g.size() != w.size() || m.size() != w.size() || v.size() != w.size())
    throw ShapeError("adamw_update: expected as many gradients and moments as values, " +
                     std::to_string(w.size()));
  require(step > 0, "step", "at least 1", "0");
  const auto b1 = static_cast<Real>(options.beta1), b2 = static_cast<Real>(options.beta2);
  const auto eps = static_cast<Real>(options.eps);
  const auto t = static_cast<double>(step);
  const auto length = static_cast<Real>(rate / (1 - std::pow(options.beta1, t)));
  const auto unit = static_cast<Real>(1 / std::sqrt(1 - std::pow(options.beta2, t)));
  const auto kept = static_cast<Real>(decays ? 1 - rate * options.weight_decay : 1);
  for (std::size_t i = 0; i < w.size(); ++i) {
    m[i] = b1 * m[i] + (1 - b1) * g[i];
    v[i] = b2 * v[i] + (1 - b2) * g[i] * g[i];
    w[i] = kept * w[i] - length * m[i] / (std::sqrt(v[i]) * unit + eps);
  }
}

// That is one parameter. All of them is a walk over four sets in step.

template <class Real>
Moments<Real> zero_moments(const LanguageModelConfig& config) {
  return {zero_parameters<Real>(config), zero_parameters<Real>(config), 0};
}

template <class Real>
void adamw_step(const LanguageModelConfig& config, LanguageModelParameters<Real>& parameters,
                const LanguageModelParameters<Real>& gradient, Moments<Real>& moments, double rate,
                const AdamWOptions& options) {
  const std::uint64_t step = moments.steps + 1;
  const auto update = [&](const ParameterInfo& info, std::span<Real> w, std::span<const Real> g,
                          std::span<Real> m, std::span<Real> v) {
    adamw_update<Real>({w, g, m, v}, step, rate, info.decays, options);
  };
  walk(config, update, parameters, gradient, moments.mean, moments.square);
  moments.steps = step;
}

void AdamWOptions::check() const {
  const auto below_one = [](double beta) { return beta >= 0 && beta < 1; };
  require(below_one(beta1), "beta1", "at least 0 and below 1", std::to_string(beta1));
  require(below_one(beta2), "beta2", "at least 0 and below 1", std::to_string(beta2));
  require(eps > 0, "eps", "above 0", std::to_string(eps));
  require(weight_decay >= 0, "weight_decay", "at least 0", std::to_string(weight_decay));
}

// Adam remembers two numbers for each number of the model. A model of four million parameters in
// 32-bit floats has 16 MB of them, 16 MB of gradients, and 32 MB of moments.
//
// ## When a gradient is too long {#training_clip}
//
// Now and then a batch is odd: a table in the middle of the prose, a language that never came
// before. Its gradient is many times as long as usual, and the model takes a step on the strength
// of it that costs it a hundred ordinary ones. So a gradient that is longer than a limit is scaled
// down to the limit. All parameters are taken as one long vector, so that its direction stays.

template <class Real>
double gradient_norm(const LanguageModelConfig& config, const LanguageModelParameters<Real>& gradient) {
  double squares = 0;
  const auto add = [&](const ParameterInfo&, std::span<const Real> values) {
    for (const Real value : values) squares += static_cast<double>(value) * static_cast<double>(value);
  };
  walk(config, add, gradient);
  return std::sqrt(squares);
}

template <class Real>
double clip_gradient(const LanguageModelConfig& config, LanguageModelParameters<Real>& gradient,
                     double most) {
  require(most > 0, "clip_norm", "above 0", std::to_string(most));
  const double norm = gradient_norm<Real>(config, gradient);
  if (norm <= most) return norm;
  const auto factor = static_cast<Real>(most / (norm + 1e-6));  // as PyTorch has it
  const auto scale = [&](const ParameterInfo&, std::span<Real> values) {
    for (Real& value : values) value *= factor;
  };
  walk(config, scale, gradient);
  return norm;
}

// You may ask why that matters, if Adam divides by the size of gradients anyway. It divides by the
// size of the *usual* ones. One gradient a hundred times too long makes $m$ ten times too long at
// once. And it makes $\sqrt v$ twenty times too long, which takes dozens of steps to wear off; in
// all of them the model hardly moves. Clipping has to come first, before either has seen it.
//
// ## The rate over time {#training_schedule}
//
// At first the moments know nothing. $v$ is an estimate from one gradient, then from two; where
// that one happened to be small, the step is large for no good reason. So the rate begins near zero
// and rises in a straight line: the **warm-up**. At the end the model is near the bottom of its
// valley, and steps of full length only carry it about; so the rate goes down, along half a
// **cosine**, to a tenth.
//
// ::: figure schedule
// The learning rate over a training of a thousand steps: a warm-up of fifty, then half a cosine.
// :::
//
// How much is done may be counted in steps or in minutes. Who says *train for ten minutes* gets a
// rate that is down at a tenth when ten minutes are over.

double Schedule::rate(std::uint64_t step, double done) const {
  const double up = step < warmup ? static_cast<double>(step + 1) / static_cast<double>(warmup) : 1;
  const double down = (1 + std::cos(std::numbers::pi * std::clamp(done, 0.0, 1.0))) / 2;
  return peak * up * (last + (1 - last) * down);
}

void Schedule::check() const {
  require(peak > 0 && std::isfinite(peak), "rate", "above 0", std::to_string(peak));
  require(last >= 0 && last <= 1, "last rate", "a share of the highest, 0 to 1", std::to_string(last));
}

#define MAMBA2_INSTANTIATE(Real)                                                                   \
  template void adamw_update(const AdamWNumbers<Real>&, std::uint64_t, double, bool,               \
                             const AdamWOptions&);                                                 \
  template Moments<Real> zero_moments(const LanguageModelConfig&);                                 \
  template void adamw_step(const LanguageModelConfig&, LanguageModelParameters<Real>&,             \
                           const LanguageModelParameters<Real>&, Moments<Real>&, double,           \
                           const AdamWOptions&);                                                   \
  template double gradient_norm(const LanguageModelConfig&, const LanguageModelParameters<Real>&); \
  template double clip_gradient(const LanguageModelConfig&, LanguageModelParameters<Real>&, double);
MAMBA2_INSTANTIATE(float)
MAMBA2_INSTANTIATE(double)
#undef MAMBA2_INSTANTIATE

}  // namespace mamba2
