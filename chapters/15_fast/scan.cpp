// ## The wide scan {#fast_scan}
//
// @Chapter{real_sequences} walks through heads, and within a head through chunks. Each product it
// makes is small: a chunk of one head against the state of one head. But BLAS gets near its peak
// only with large ones, since it first copies both matrices into an order of its own. Turn the
// loops round: walk through chunks, and take *all heads of a group* at once where they share
// something.
//
// ::: figure wide
// A chunk of 24 heads. Two of the products do not care how many heads there are: all states lie in
// one tall matrix, and B and C are the same for all. Only the mask differs from head to head.
// :::
//
// - The scores $CB^\top$: once for the group.
// - The state's word to the chunk: $Y = C S^\top$, one product with the states of all heads one
//   under the other.
// - What the chunk leaves behind: $S \leftarrow \mathrm{fade}(S) + \tilde X^\top B$, likewise,
//   where $\tilde X$ is $X$ with each token scaled by what is left of it.
// - In between, head by head: the mask, and $Y_h \mathrel{+}= M_h X_h$.
//
// The state is stored with headdim first and d_state last, as the reference's cache does. With that
// order no product needs a copy.

#include <mamba2/fast.hpp>
#include <mamba2/kernels.hpp>
#include <mamba2/limits.hpp>
#include <mamba2/matrix.hpp>
#include <mamba2/parallel.hpp>
#include <mamba2/random.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace mamba2 {
namespace {

constexpr std::size_t short_chunk = 8;  // up to this length the recurrence is faster than products

// A remainder of so many numbers: zeros where there was none.
template <class Real>
Real* made_for(std::vector<Real>& remainder, std::size_t size) {
  if (remainder.size() != size) remainder.assign(size, Real(0));
  return remainder.data();
}

// One token of one head. Where the head forgets slowly, its state is kept with a remainder, if
// there is a place for one.
template <class Real>
void step_of_head(Real* state, std::vector<Real>* remainder, Real dA, Real dt, const Real* x,
                  const Real* B, const Real* C, Real* y, std::size_t headdim, std::size_t d_state) {
  const Kernels<Real>& k = kernels<Real>();
  if (remainder && std::abs(dA) < slow_decay<Real>) {
    Real* const rest = made_for(*remainder, headdim * d_state);
    return k.slow_state_step(state, rest, std::expm1(dA), dt, x, B, C, y, headdim, d_state);
  }
  if (remainder) remainder->clear();
  k.state_step(state, std::exp(dA), dt, x, B, C, y, headdim, d_state);
}

// The heads of one sequence that one task takes together: a group's, or a part of them where there
// are more threads to feed. Every thread has one such object, whose memory is set aside once and
// used again for all that follows.
template <class Real>
class HeadBlock {
 public:
  // The scan is of one sequence and one group; state, remainders and y are what belongs to it. No
  // remainders: they are kept as long as the scan takes.
  void run(const ScanRef<Real>& scan, const ScanOptions& options, MatrixRef<Real> state,
           std::vector<Real>* remainders, MatrixRef<Real> y) {
    heads_ = scan.sizes.nheads;
    Q_ = std::min(options.chunk_size, scan.sizes.seqlen);
    kernels_ = &kernels<Real>();
    options_ = &options;
    state_ = state;
    make_room(scan.x.columns);
    remainders_ = remainders ? remainders : own_remainders_.data();
    if (!remainders) forget_remainders();
    run_sequences(scan, y);
  }

 private:
  void make_room(std::size_t channels) {
    const auto at_least = [](auto& memory, std::size_t size) {
      if (memory.size() < size) memory.resize(size);
    };
    for (auto* square : {&scores_, &M_}) at_least(*square, Q_ * Q_);
    for (auto* row : {&a_, &row_}) at_least(*row, Q_);
    for (auto* rows : {&dt_, &dA_}) at_least(*rows, heads_ * Q_);
    at_least(X_left_, Q_ * channels);
    at_least(slow_, heads_);
    at_least(own_remainders_, heads_);
  }

  void forget_remainders() {
    for (std::size_t h = 0; h < heads_; ++h) remainders_[h].clear();
  }

  // Where packed sequences meet, a chunk ends and the state starts from zero, as in the plain scan.

  void run_sequences(const ScanRef<Real>& scan, MatrixRef<Real> y) {
    const std::size_t seqlen = scan.sizes.seqlen;
    const auto& idx = scan.seq_idx;
    for (std::size_t begin = 0, end; begin < seqlen; begin = end) {
      end = begin + 1;
      while (end < seqlen && (idx.empty() || idx[end] == idx[end - 1])) ++end;
      if (begin > 0) {
        std::fill_n(state_.data, state_.rows * state_.columns, Real(0));
        forget_remainders();
      }
      for (std::size_t t = begin; t < end; t += Q_) {
        const std::size_t length = std::min(Q_, end - t);
        chunk(some_tokens(scan, t, length), row_block(y, t, length));
      }
    }
  }

  void chunk(const ScanRef<Real>& in, MatrixRef<Real> Y) {
    step_sizes(in);
    if (in.sizes.seqlen <= short_chunk) {
      recurrence(in, Y);
    } else {
      products(in, Y);
    }
    skip_and_gate(in, Y);
  }

  void step_sizes(const ScanRef<Real>& in) {
    for (std::size_t h = 0; h < heads_; ++h) {
      const Real bias = in.dt_bias.empty() ? Real(0) : in.dt_bias[h];
      for (std::size_t i = 0; i < in.sizes.seqlen; ++i) {
        const Real dt = step_size(in.dt[i][h] + bias, *options_);
        dt_[h * Q_ + i] = dt;
        dA_[h * Q_ + i] = dt * in.A[h];
      }
    }
  }

  // The four steps of the chunked scan in another order: step 4 first, since it writes Y and step 1
  // adds to it.

  void products(const ScanRef<Real>& in, MatrixRef<Real> Y) {
    const std::size_t P = in.sizes.headdim, length = in.sizes.seqlen;
    const MatrixRef<Real> scores{scores_.data(), length, length, length};
    const MatrixRef<Real> X_left{X_left_.data(), length, heads_ * P, heads_ * P};
    multiply<Real>(in.C, transpose(in.B), 0, scores);  // once for all heads
    multiply<Real>(in.C, transpose(state_), 0, Y);     // what the state before the chunk says to it
    for (std::size_t h = 0; h < heads_; ++h) {
      inside_chunk(h, scores, column_block(in.x, h * P, P), column_block(Y, h * P, P),
                   column_block(X_left, h * P, P));
      fade_state(h, length, P * in.sizes.d_state);
    }
    multiply<Real>(transpose(X_left), in.B, 1, state_);  // what the chunk leaves behind
    finish_slow_states(P * in.sizes.d_state);
  }

  // Between the products, for one head: what of Y came out of the state fades, what the tokens of
  // the chunk say to each other is added, and X is scaled by what is left of each token at the end.
  void inside_chunk(std::size_t h, MatrixRef<const Real> scores, MatrixRef<const Real> X,
                    MatrixRef<Real> Y, MatrixRef<Real> X_left) {
    const std::size_t length = X.rows, P = X.columns;
    const MatrixRef<Real> M{M_.data(), length, length, length};
    kernels_->exponential(&dA_[h * Q_], a_.data(), length);
    Real left = 1;  // a_0 … a_i: of the state before the chunk
    for (std::size_t i = 0; i < length; ++i)
      row_[i] = left = (left * a_[i] < vanished<Real> ? Real(0) : left * a_[i]);
    kernels_->scale_rows(Y.data, Y.stride, row_.data(), Y.data, Y.stride, length, P);
    kernels_->masked_scores(scores.data, scores.stride, a_.data(), &dt_[h * Q_], row_.data(), M.data,
                            M.stride, length);
    multiply<Real>(M, X, 1, Y);
    // row_ is now the last row of the mask
    kernels_->scale_rows(X.data, X.stride, row_.data(), X_left.data, X_left.stride, length, P);
  }

  // The state, of `size` numbers, fades by the whole chunk at once: exponents are added in double.
  // Of a slow head it is set aside, and its place takes the change.
  void fade_state(std::size_t h, std::size_t length, std::size_t size) {
    const double sum = std::accumulate(&dA_[h * Q_], &dA_[h * Q_] + length, 0.0);
    Real* const state = state_.data + h * size;
    slow_[h] = std::abs(sum) < 8 * slow_decay<Real>;  // a chunk is worth some care more than a token
    if (slow_[h]) {
      if (aside_.size() < heads_ * size) aside_.resize(heads_ * size);
      kernels_->set_aside(state, made_for(remainders_[h], size), static_cast<Real>(std::expm1(sum)),
                          &aside_[h * size], size);
    } else {
      const Real faded = static_cast<Real>(std::exp(sum));
      kernels_->scale(state, faded < vanished<Real> ? Real(0) : faded, size);
      remainders_[h].clear();
    }
  }

  void finish_slow_states(std::size_t size) {
    for (std::size_t h = 0; h < heads_; ++h)
      if (slow_[h])
        kernels_->put_back(state_.data + h * size, remainders_[h].data(), &aside_[h * size], size);
  }

  void recurrence(const ScanRef<Real>& in, MatrixRef<Real> Y) {
    const std::size_t P = in.sizes.headdim;
    for (std::size_t h = 0; h < heads_; ++h) {
      for (std::size_t i = 0; i < in.sizes.seqlen; ++i) {
        step_of_head(state_[h * P], &remainders_[h], dA_[h * Q_ + i], dt_[h * Q_ + i], in.x[i] + h * P,
                     in.B[i], in.C[i], Y[i] + h * P, P, in.sizes.d_state);
      }
    }
  }

  void skip_and_gate(const ScanRef<Real>& in, MatrixRef<Real> Y) {
    const std::size_t P = in.sizes.headdim, D_size = in.D.size() / heads_;  // 0, 1 or P
    for (std::size_t h = 0; D_size > 0 && h < heads_; ++h) {
      kernels_->add_skip(in.x.data + h * P, in.x.stride, &in.D[h * D_size], D_size == 1 ? 0 : 1,
                         Y.data + h * P, Y.stride, Y.rows, P);
    }
    if (in.z.data) kernels_->gate(in.z.data, in.z.stride, Y.data, Y.stride, Y.rows, Y.columns);
  }
  const Kernels<Real>* kernels_ = nullptr;
  const ScanOptions* options_ = nullptr;
  std::size_t heads_ = 0, Q_ = 0;
  MatrixRef<Real> state_;  // of all heads, one under the other, (heads * headdim, d_state)
  std::vector<Real>* remainders_ = nullptr;  // of each head
  std::vector<Real> scores_, M_, X_left_, dt_, dA_, a_, row_, aside_;
  std::vector<char> slow_;  // whether a head is, in this chunk
  std::vector<std::vector<Real>> own_remainders_;
};

}  // namespace

// Heads do not talk to each other, nor do groups or batch entries: each is a task. With fewer
// groups than threads, a group's heads are dealt out, and the scores are computed once for each
// part.

namespace unchecked {

template <class Real>
void fast_scan(const ScanRef<Real>& in, const ScanOptions& options, ScanState<Real> states,
               MatrixRef<Real> y) {
  const ScanSizes& s = in.sizes;
  if (s.batch == 0 || s.seqlen == 0) return;
  const std::size_t per_group = s.nheads / s.ngroups, groups = s.batch * s.ngroups;
  const std::size_t parts = std::min(per_group, (num_threads() + groups - 1) / groups);
  parallel_for(groups * parts, [&](std::size_t i) {
    const std::size_t part = i % parts, g = i / parts % s.ngroups, b = i / parts / s.ngroups;
    const std::size_t begin = per_group * part / parts, end = per_group * (part + 1) / parts;
    const std::size_t first = g * per_group + begin, channels = (end - begin) * s.headdim;
    const MatrixRef<Real> state{states.state[b] + first * s.headdim * s.d_state, channels, s.d_state,
                                s.d_state};
    const MatrixRef<Real> Y =
        column_block(row_block(y, b * s.seqlen, s.seqlen), first * s.headdim, channels);
    thread_local HeadBlock<Real> block;
    block.run(some_heads(one_sequence(in, b), first, end - begin), options, state,
              states.remainder.data ? &states.remainder(b, first) : nullptr, Y);
  });
}

}  // namespace unchecked

template <class Real>
ScanOutput<Real> fast_ssd(const ScanInput<Real>& input, const ScanOptions& options) {
  const ScanSizes s = scan_sizes(input, options);
  ScanOutput<Real> out{Tensor<Real, 4>::from_shape({s.batch, s.seqlen, s.nheads, s.headdim}),
                       input.initial_state ? *input.initial_state
                                           : zeros<Real>(s.batch, s.nheads, s.headdim, s.d_state)};
  unchecked::fast_scan<Real>(input, options, as_rows<1>(out.last_state), as_rows<2>(out.y));
  return out;
}

// ### One token {#fast_one_token}
//
// A step is @chapter{one_token_at_a_time}'s, with the kernels in place of its loops and the heads
// dealt out to the threads.

namespace unchecked {

template <class Real>
void fast_scan_step(const ScanRef<Real>& in, const ScanOptions& options, ScanState<Real> states,
                    MatrixRef<Real> y) {
  const std::size_t heads = in.sizes.nheads, P = in.sizes.headdim, N = in.sizes.d_state;
  const std::size_t parts = std::min(heads, 4 * num_threads()), D_size = in.D.size() / heads;
  parallel_for(in.sizes.batch * parts, [&](std::size_t i) {
    const std::size_t b = i / parts, part = i % parts;
    for (std::size_t h = heads * part / parts; h < heads * (part + 1) / parts; ++h) {
      const std::size_t g = group_of_head(h, heads, in.sizes.ngroups);
      const Real bias = in.dt_bias.empty() ? Real(0) : in.dt_bias[h];
      const Real dt = step_size(in.dt[b][h] + bias, options), *x = in.x[b] + h * P;
      Real* const out = y[b] + h * P;
      step_of_head(states.state[b] + h * P * N,
                   states.remainder.data ? &states.remainder(b, h) : nullptr, dt * in.A[h], dt, x,
                   in.B[b] + g * N, in.C[b] + g * N, out, P, N);
      if (D_size > 0)
        kernels<Real>().add_skip(x, P, &in.D[h * D_size], D_size == 1 ? 0 : 1, out, P, 1, P);
    }
  });
}

}  // namespace unchecked

// How good is that? The fairest limit for the scan is its own products: the same four, of the same
// sizes, with nothing in between. *Step by step* draws it.

double measure_scan_products(const Mamba2Config& config, std::size_t chunk_size) {
  const std::size_t Q = chunk_size, P = config.headdim, N = config.d_state;
  const std::size_t heads = Mamba2Sizes(config).nheads / config.ngroups, chunks = 32;
  const Tensor<float, 2> tokens({Q * chunks, 2 * N + heads * P}, 0.5F), state({heads * P, N}, 0.5F),
      M({Q, Q}, 0.5F);
  auto Y = zeros<float>(Q, heads * P), scores = zeros<float>(Q, Q), S = state;
  const auto products = [&](std::size_t c) {
    const MatrixRef<const float> chunk = row_block(as_matrix(tokens), c * Q, Q);
    const auto B = column_block(chunk, 0, N), C = column_block(chunk, N, N),
               X = column_block(chunk, 2 * N, heads * P);
    multiply<float>(C, transpose(B), 0, as_matrix(scores));
    multiply<float>(C, transpose(as_matrix(state)), 0, as_matrix(Y));
    for (std::size_t h = 0; h < heads; ++h)
      multiply<float>(as_matrix(M), column_block(X, h * P, P), 1, column_block(as_matrix(Y), h * P, P));
    multiply<float>(transpose(X), B, 1, as_matrix(S));
  };
  const double seconds = shortest_seconds(4, [&] {
    parallel_for(1, [&](std::size_t) {  // so that BLAS uses one thread
      for (std::size_t c = 0; c < chunks; ++c) products(c);
    });
  });
  return seconds * static_cast<double>(config.ngroups) / static_cast<double>(Q * chunks);
}

ScanInput<float> random_scan_input(const Mamba2Config& config, std::size_t batch, std::size_t seqlen) {
  Random random(1);
  const auto fill = [&](auto& tensor, double low, double high) {
    for (auto& value : tensor) value = static_cast<float>(random.uniform(low, high));
  };
  ScanInput<float> in;
  const Mamba2Sizes s = config;
  fill(in.x = zeros<float>(batch, seqlen, s.nheads, s.headdim), -1, 1);
  fill(in.dt = zeros<float>(batch, seqlen, s.nheads), 0.001, 1);
  fill(in.A = zeros<float>(s.nheads), -16, -1);
  fill(in.B = zeros<float>(batch, seqlen, s.ngroups, s.d_state), -1, 1);
  fill(in.C = zeros<float>(batch, seqlen, s.ngroups, s.d_state), -1, 1);
  return in;
}

template void unchecked::fast_scan(const ScanRef<float>&, const ScanOptions&, ScanState<float>,
                                   MatrixRef<float>);
template void unchecked::fast_scan(const ScanRef<double>&, const ScanOptions&, ScanState<double>,
                                   MatrixRef<double>);
template void unchecked::fast_scan_step(const ScanRef<float>&, const ScanOptions&, ScanState<float>,
                                        MatrixRef<float>);
template void unchecked::fast_scan_step(const ScanRef<double>&, const ScanOptions&, ScanState<double>,
                                        MatrixRef<double>);
template ScanOutput<float> fast_ssd(const ScanInput<float>&, const ScanOptions&);
template ScanOutput<double> fast_ssd(const ScanInput<double>&, const ScanOptions&);

}  // namespace mamba2
