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
#include <vector>

namespace mamba2 {
namespace {

constexpr std::size_t short_chunk = 8;  // up to this length the recurrence is faster than products

// The heads of one sequence that one task takes together: a group's, or a part of them where there
// are more threads to feed.
template <class Real>
class HeadBlock {
 public:
  // The scan is of one sequence and one group; state and y are what belongs to it.
  HeadBlock(const ScanRef<Real>& scan, const ScanOptions& options, MatrixRef<Real> state,
            MatrixRef<Real> y)
      : in_(scan),
        options_(options),
        heads_(scan.sizes.nheads),
        Q_(std::min(options.chunk_size, scan.sizes.seqlen)),
        state_(state),
        y_(y),
        scores_(Q_ * Q_),
        M_(Q_ * Q_),
        X_left_(Q_ * scan.x.columns),
        dt_(heads_ * Q_),
        a_(heads_ * Q_),
        row_(std::max(Q_, scan.sizes.headdim)) {}

  // Where packed sequences meet, a chunk ends and the state starts from zero, as in the plain scan.

  void run() {
    const std::size_t seqlen = in_.sizes.seqlen;
    const std::vector<std::size_t> bounds =
        in_.seq_idx.empty() ? std::vector<std::size_t>{0, seqlen} : sequence_bounds(in_.seq_idx);
    for (std::size_t i = 0; i + 1 < bounds.size(); ++i) {
      if (i > 0) std::fill_n(state_.data, state_.rows * state_.columns, Real(0));
      for (std::size_t t = bounds[i]; t < bounds[i + 1]; t += Q_) {
        const std::size_t length = std::min(Q_, bounds[i + 1] - t);
        chunk(some_tokens(in_, t, length), row_block(y_, t, length));
      }
    }
  }

 private:
  void chunk(const ScanRef<Real>& in, MatrixRef<Real> Y) {
    step_sizes(in);
    if (in.sizes.seqlen <= short_chunk) {
      recurrence(in, Y);
    } else {
      products(in.B, in.C, in.x, Y);
    }
    skip_and_gate(in, Y);
  }

  void step_sizes(const ScanRef<Real>& in) {
    for (std::size_t h = 0; h < heads_; ++h) {
      Real *dt = &dt_[h * Q_], *a = &a_[h * Q_];
      const Real bias = in.dt_bias.empty() ? Real(0) : in.dt_bias[h];
      for (std::size_t i = 0; i < in.sizes.seqlen; ++i) {
        dt[i] = step_size(in.dt[i][h] + bias, options_);
        a[i] = dt[i] * in.A[h];
      }
      kernels_.exponential(a, a, in.sizes.seqlen);
    }
  }

  // The four steps of the chunked scan in another order: step 4 first, since it writes Y and step 1 adds to it.

  void products(MatrixRef<const Real> B, MatrixRef<const Real> C, MatrixRef<const Real> X,
                MatrixRef<Real> Y) {
    const std::size_t P = in_.sizes.headdim, length = B.rows, state_size = P * in_.sizes.d_state;
    const MatrixRef<Real> scores{scores_.data(), length, length, length},
        M{M_.data(), length, length, length};
    const MatrixRef<Real> X_left{X_left_.data(), length, heads_ * P, heads_ * P};
    multiply<Real>(C, transpose(B), 0, scores);  // once for all heads
    multiply<Real>(C, transpose(state_), 0, Y);  // what the state before the chunk says to it
    for (std::size_t h = 0; h < heads_; ++h) {
      const MatrixRef<const Real> X_h = column_block(X, h * P, P);
      const MatrixRef<Real> Y_h = column_block(Y, h * P, P), X_left_h = column_block(X_left, h * P, P);
      const Real faded = fade_in(&a_[h * Q_], length);
      kernels_.scale_rows(Y_h.data, Y_h.stride, row_.data(), Y_h.data, Y_h.stride, length, P);
      kernels_.masked_scores(scores.data, length, &a_[h * Q_], &dt_[h * Q_], row_.data(), M.data,
                             length, length);
      multiply<Real>(M, X_h, 1, Y_h);  // what the tokens of the chunk say to each other
      // row_ is now the last row of the mask: what is left of each token
      kernels_.scale_rows(X_h.data, X_h.stride, row_.data(), X_left_h.data, X_left_h.stride, length, P);
      kernels_.scale(state_[h * P], faded, state_size);
    }
    multiply<Real>(transpose(X_left), B, 1, state_);  // what the chunk leaves behind
  }

  // row_i = a_0 … a_i: what is left at step i of the state before the chunk. Returns the last.
  Real fade_in(const Real* a, std::size_t length) {
    Real left = 1;
    for (std::size_t i = 0; i < length; ++i)
      row_[i] = left = (left * a[i] < vanished<Real> ? Real(0) : left * a[i]);
    return left;
  }

  void recurrence(const ScanRef<Real>& in, MatrixRef<Real> Y) {
    const std::size_t P = in.sizes.headdim;
    for (std::size_t h = 0; h < heads_; ++h) {
      for (std::size_t i = 0; i < in.sizes.seqlen; ++i) {
        const Real* x = in.x[i] + h * P;
        for (std::size_t p = 0; p < P; ++p) row_[p] = dt_[h * Q_ + i] * x[p];
        kernels_.state_step(state_[h * P], a_[h * Q_ + i], row_.data(), in.B[i], in.C[i], Y[i] + h * P,
                            P, in.sizes.d_state);
      }
    }
  }

  void skip_and_gate(const ScanRef<Real>& in, MatrixRef<Real> Y) {
    const std::size_t P = in.sizes.headdim, D_size = in.D.size() / heads_;  // 0, 1 or P
    for (std::size_t h = 0; D_size > 0 && h < heads_; ++h) {
      kernels_.add_skip(in.x.data + h * P, in.x.stride, &in.D[h * D_size], D_size == 1 ? 0 : 1,
                        Y.data + h * P, Y.stride, Y.rows, P);
    }
    if (in.z.data) kernels_.gate(in.z.data, in.z.stride, Y.data, Y.stride, Y.rows, Y.columns);
  }

  const Kernels<Real>& kernels_ = kernels<Real>();
  const ScanRef<Real> in_;
  const ScanOptions& options_;
  const std::size_t heads_, Q_;
  const MatrixRef<Real> state_;  // of all heads, one under the other, (heads * headdim, d_state)
  const MatrixRef<Real> y_;      // (seqlen, heads * headdim)
  std::vector<Real> scores_, M_, X_left_, dt_, a_, row_;
};

}  // namespace

// Heads do not talk to each other, nor do groups or batch entries: each is a task. With fewer
// groups than threads, a group's heads are dealt out, and the scores are computed once for each
// part.

namespace unchecked {

template <class Real>
void fast_scan(const ScanRef<Real>& in, const ScanOptions& options, MatrixRef<Real> states,
               MatrixRef<Real> y) {
  const ScanSizes& s = in.sizes;
  if (s.batch == 0 || s.seqlen == 0) return;
  const std::size_t per_group = s.nheads / s.ngroups, groups = s.batch * s.ngroups;
  const std::size_t parts = std::min(per_group, (num_threads() + groups - 1) / groups);
  parallel_for(groups * parts, [&](std::size_t i) {
    const std::size_t part = i % parts, g = i / parts % s.ngroups, b = i / parts / s.ngroups;
    const std::size_t begin = per_group * part / parts, end = per_group * (part + 1) / parts;
    const std::size_t first = g * per_group + begin, channels = (end - begin) * s.headdim;
    const MatrixRef<Real> state{states[b] + first * s.headdim * s.d_state, channels, s.d_state,
                                s.d_state};
    const MatrixRef<Real> Y =
        column_block(row_block(y, b * s.seqlen, s.seqlen), first * s.headdim, channels);
    HeadBlock<Real>(some_heads(one_sequence(in, b), first, end - begin), options, state, Y).run();
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

template void unchecked::fast_scan(const ScanRef<float>&, const ScanOptions&, MatrixRef<float>,
                                   MatrixRef<float>);
template void unchecked::fast_scan(const ScanRef<double>&, const ScanOptions&, MatrixRef<double>,
                                   MatrixRef<double>);
template ScanOutput<float> fast_ssd(const ScanInput<float>&, const ScanOptions&);
template ScanOutput<double> fast_ssd(const ScanInput<double>&, const ScanOptions&);

}  // namespace mamba2
