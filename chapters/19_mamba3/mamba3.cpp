// # Mamba-3 {#ch_mamba3}
// @summary A trapezoid instead of the convolution, a state that turns, several inputs per head; and what a state that turns can count.
//
// Ask a Mamba-2 model whether a text has had an even or an odd number of ones. Nothing could be
// smaller: one bit to keep, to be flipped now and then. It learns to answer for texts as long as
// those it was trained on, and guesses behind that. The reason is in its first equation. The state
// is multiplied by a number between 0 and 1, and such a number can make something smaller but never
// change its sign.
//
// Mamba-3 [@lahoti2026] is what the authors of Mamba-2 did next, and its state can turn. It does
// two other things besides. A better rule of discretisation makes the short convolution
// unnecessary, and several inputs per head give a processor more to do for each number of the
// state that it fetches. This chapter builds the block from what the book has, one change after
// the other. It is then a mixer like any other: it learns, loads and writes. At the end, a
// laboratory shows what the state can and cannot count.
//
// ::: figure circle
// The same text read by two states of hand-set weights. Left, a state that turns: each 1 takes it
// half round, so that it is right forever. Right, a state with a positive factor that gets the same
// input at every 1. Its steps become smaller, and all have the same sign.
// :::
//
// ## What it builds on {#mamba3_builds_on}
//
// - @Chapter{chunked_scan}: the four steps of the scan, which are used as they are;
// - @Chapters{real_sequences, selection and convolution_and_norm}: packed sequences, the first step
//   sizes, the norms;
// - @Chapters{mamba2_block, one_token_at_a_time and language_model}: parameters,
//   caches, mixers, and the words of configurations;
// - @Chapter{backward}: the scan run backwards, and the small adjoints.
//
// In thought also on @chapter{state_space}, where a state space model was made discrete for the
// first time, and on @chapter{training}.
//
// ## Shapes {#mamba3_shapes}
//
// ::: shapes
// | symbol | in code | shape | what it is |
// |:--|:--|:--|:--|
// | $V_t$ | `V` | $(R, P)$ | the inputs of a token; $R = 1$ unless a head has several |
// | $K_t$, $Q_t$ | `K`, `Q` | $(R, N)$ | its B and its C: normed, with a bias, turned |
// | $\Delta_t$, $A_t$ | `dt`, `A` | scalars | step size, and rate of decay; both depend on the token |
// | $\lambda_t$ | `lambda` | scalar | the share of the token itself in the trapezoid, 0 to 1 |
// | $a_t = \Delta_t A_t$ | `a` | scalar | log-decay |
// | $\gamma_t$, $\nu_t$ | `now`, `next` | scalars | what a token adds of itself; what the next one adds of it |
// | $\theta_t$ | `angles` | $(\text{num\_angles})$ | how far each pair has turned |
// | $h_t$ | `state` | $(P, N)$ | the state |
//
// These are one head's. The names $Q$, $K$ and $V$ are those of attention, as in the reference;
// they remind one that by now B and C are no more what the projection gave.
// :::

#include <mamba2/activation.hpp>
#include <mamba2/chunked_scan.hpp>
#include <mamba2/mamba3.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace mamba2 {

// ## A trapezoid {#mamba3_trapezoid}
//
// @Chapter{state_space} asked what an input does that comes in during a step of length $\Delta$.
// The answer is an integral over the step. Mamba-2 replaces it by a rectangle: the step's length
// times the value at its *end*, $\Delta_t\, V_t K_t^\top$. A trapezoid takes both ends. The value
// at the beginning is that of the token before, which has decayed over the step:
//
// $$ h_t = e^{a_t} h_{t-1} + \underbrace{(1 - \lambda_t)\, \Delta_t\, e^{a_t}}_{\beta_t} V_{t-1}
// K_{t-1}^\top + \underbrace{\lambda_t\, \Delta_t}_{\gamma_t} V_t K_t^\top . $$
// {#eq:mamba3_trapezoid}
//
// With $\lambda_t = \tfrac12$ this is the trapezoid of school, whose error falls with the square of
// the step. With $\lambda_t = 1$ it is Mamba-2's rectangle. Here $\lambda_t$ is learnt, and depends
// on the token.
//
// Every token now adds a mixture of itself and its predecessor to the state. That is a convolution
// with two taps. It stands where it matters, on what enters the state, and it is the reason why
// Mamba-3 has no other one.
//
// ### The mask has two bands {#mamba3_mask}
//
// How much does token $i$ hear of token $j$? Say $L_{ij}$ is what decays leave between them. Token
// $j$ is added twice: by itself, with $\gamma_j$, and by the next one, with $\beta_{j+1} =
// \nu_j\, e^{a_{j+1}}$. The factor $e^{a_{j+1}}$ is the first of those in $L_{ij}$. So for every
// later token,
//
// $$ M_{ij} = L_{ij}\, (\gamma_j + \nu_j)\, \langle Q_i, K_j \rangle \quad (j < i), \qquad M_{ii} =
// \gamma_i\, \langle Q_i, K_i \rangle . $$ {#eq:mamba3_mask}
//
// Both ways end in the same factor. As a matrix, the mask is the decays times a matrix with two
// bands, the diagonal and the one below. As a program it is better news still. Seen from any later
// token, a token has *one* weight, $\gamma_j + \nu_j$. Only the token itself does not know yet what
// the next one will do.
//
// ::: figure bands
// The weights of ten tokens. Left: the two bands that turn inputs into what enters the state.
// Right: the decays times the bands, as outputs see them. On the diagonal a token has not been
// added in full.
// :::
//
// ## The scan, unchanged {#mamba3_scan}
//
// So give the chunked scan the inputs $X_j = (\gamma_j + \nu_j)\, V_j$, and take away on the
// diagonal what was counted too early. None of the four steps has to know.
//
// One thing more is prepared here: a head that has several inputs, which are the last section but
// one of this part. A token then has $R$ *slots*, one for each of its inputs and outputs, and the
// scan sees $R$ tokens, of which only the first decays. To it, slots are tokens, and an earlier one
// does not hear a later one. In truth they stand at the same moment. So the same correction adds
// what is missing:
//
// $$
// Y_r \mathrel{+}= \sum_{s} w_{rs}\, \langle Q_r, K_s \rangle\, V_s, \qquad
// w_{rs} = \begin{cases} -\nu & s \le r \\ \gamma & s > r \end{cases}
// $$ {#eq:mamba3_put_right}
//
// With one input per token there is one pair, $s = r$.

template <class Real>
static void put_right(const TrapezoidHead<Real>& head, MatrixRef<Real> Y) {
  const std::size_t R = head.rank;
  for (std::size_t t = 0; t < head.a.size(); ++t) {
    for (std::size_t i = 0; i < R * R; ++i) {
      const std::size_t r = t * R + i / R, s = t * R + i % R;
      double weight = s > r ? head.now[t] : -head.next[t];
      double score = 0;
      for (std::size_t n = 0; n < head.K.columns; ++n)
        score += static_cast<double>(head.Q(r, n)) * head.K(s, n);
      weight *= score;
      for (std::size_t p = 0; p < Y.columns; ++p) Y(r, p) += static_cast<Real>(weight * head.V(s, p));
    }
  }
}

// The rest is the loop of @chapter{chunked_scan}, with a state that is not zero at the beginning.

template <class Real>
void trapezoid_scan(const TrapezoidHead<Real>& head, std::size_t chunk_size, MatrixRef<Real> state,
                    MatrixRef<Real> Y) {
  const std::size_t slots = head.V.rows, step = chunk_size * head.rank;
  auto X = zeros<Real>(slots, head.V.columns);
  std::vector<Real> a(slots, Real(0));
  for (std::size_t i = 0; i < slots; ++i) {
    const std::size_t t = i / head.rank;
    if (i % head.rank == 0) a[i] = static_cast<Real>(head.a[t]);
    for (std::size_t p = 0; p < head.V.columns; ++p)
      X(i, p) = static_cast<Real>((head.now[t] + head.next[t]) * head.V(i, p));
  }
  auto own = zeros<Real>(state.rows, state.columns);
  for (std::size_t first = 0; first < slots; first += step) {
    const std::size_t length = std::min(step, slots - first);
    const auto rows = [=](auto m) { return row_block(m, first, length); };
    const std::span<const Real> decays(a.data() + first, length);
    diagonal_block<Real>(rows(as_matrix(X)), decays, rows(head.K), rows(head.Q), rows(Y));
    state_to_output<Real>(decays, rows(head.Q), state, rows(Y));
    chunk_state<Real>(rows(as_matrix(X)), decays, rows(head.K), as_matrix(own));
    pass_state<Real>(decays, as_matrix(own), state);
  }
  put_right<Real>(head, Y);
}

// The last token is not known to have a successor. With $\nu = 0$ for it, the state at the end is
// the true one. Whoever goes on from there needs two things more than in Mamba-2: the last token's
// $K$ and $V$, for the next one adds them to the state before it does anything else.
//
// @output trapezoid
//
// ## A state that turns {#mamba3_rotation}
//
// The state has $N$ numbers for each channel. Take two of them for one complex number. If it is
// multiplied by $e^{a + i\delta}$ at each step, it decays by $e^a$ as before, and turns by the
// angle $\delta$. A half turn is a change of sign, which is what was missing.
//
// It seems that the scan has to be written anew, for complex numbers. It has not. A turn is undone
// by a turn back. So look at the state from a frame that turns with it: there it only decays. What
// comes in has to be turned into that frame, and what is read, out of it. If the frame has turned
// by $\theta_t = \delta_1 + \dots + \delta_t$ at token $t$, then
//
// $$ \langle Q_i,\; e^{i (\delta_{j+1} + \dots + \delta_i)} K_j \rangle = \langle e^{-i \theta_i}
// Q_i,\; e^{-i \theta_j} K_j \rangle . $$ {#eq:mamba3_rotation}
//
// Only B and C are touched, each token's by an angle of its own. It looks like the rotary
// embedding of positions [@su2021], and is computed like it, but the angle here is no position. It
// is what the text so far has added up. The reference turns the other way, by $+\theta$. Only the
// difference of angles counts, and its sign is learnt.
//
// How far does a token turn the state? The raw angle $\phi$ goes through $\tanh$, so that it is at
// most half a turn per unit of time, and is multiplied by the step size, as everything that happens
// during a step is:
//
// $$ \theta_t = \theta_{t-1} + \pi \tanh(\phi_t)\, \Delta_t \pmod{2\pi} . $$ {#eq:mamba3_angle}
//
// Which numbers form a pair is a convention, and the reference has two: neighbours where a head
// has one input, halves where it has several. Weights of the one read by the other give nonsense
// without any error.

std::array<std::size_t, 2> rotated_pair(const Mamba3Sizes& s, std::size_t j) {
  if (s.config.is_mimo) return {j, j + s.config.d_state / 2};
  return {2 * j, 2 * j + 1};
}

// Not the whole state turns. With a `rope_fraction` of a half, half of the pairs do, and the others
// keep their place.
//
// ## Rates that depend on the token {#mamba3_rates}
//
// In Mamba-2 the rate $A$ is a parameter, and only $\Delta$ depends on the token. Here the
// projection gives $A$, too. It has to be negative, so a function makes it so. There have been
// two: first softplus, and since June 2026 one whose tail is heavy,
//
// $$ -A = \begin{cases} 1 + x & x \ge 0 \\ 1 / (1 - x) & x < 0 . \end{cases} $$ {#eq:mamba3_heavy_tail}
//
// ::: warning
// A configuration does not say which of the two a checkpoint was trained with. Here it is an
// option, mamba2::Mamba3Config::A_activation, and the reference's present one is the default.
// :::

double heavy_tail(double x) {
  return x >= 0 ? 1 + x : 1 / (1 - x);
}

double decay_rate(const Mamba3Config& config, double raw) {
  const double rate =
      config.A_activation == RateActivation::heavy_tail ? heavy_tail(raw) : softplus(raw);
  return std::max(rate, config.A_floor);
}

#define MAMBA2_INSTANTIATE(Real)                                                         \
  template void trapezoid_scan(const TrapezoidHead<Real>&, std::size_t, MatrixRef<Real>, \
                               MatrixRef<Real>);
MAMBA2_INSTANTIATE(float)
MAMBA2_INSTANTIATE(double)
#undef MAMBA2_INSTANTIATE

}  // namespace mamba2
