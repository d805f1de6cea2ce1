#include "exercises.hpp"

#include <mamba2/activation.hpp>
#include <mamba2/chunked_scan.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace exercises {

//: 1
mamba2::Tensor<double, 3> step_sizes(const mamba2::Tensor<double, 3>& dt,
                                     const mamba2::Tensor<double, 1>& dt_bias, double dt_min,
                                     double dt_max) {
  mamba2::Tensor<double, 3> step = dt;  // (batch, seqlen, nheads)
  for (std::size_t b = 0; b < dt.shape(0); ++b)
    for (std::size_t t = 0; t < dt.shape(1); ++t)
      for (std::size_t h = 0; h < dt.shape(2); ++h)
        step(b, t, h) = std::clamp(mamba2::softplus(dt(b, t, h) + dt_bias(h)), dt_min, dt_max);
  return step;
}
//: end

//: 2
static mamba2::ScanInput<double> tokens(const mamba2::ScanInput<double>& input, std::size_t begin,
                                        std::size_t end) {
  mamba2::ScanInput<double> part = input;
  part.x = xt::view(input.x, xt::all(), xt::range(begin, end));
  part.dt = xt::view(input.dt, xt::all(), xt::range(begin, end));
  part.B = xt::view(input.B, xt::all(), xt::range(begin, end));
  part.C = xt::view(input.C, xt::all(), xt::range(begin, end));
  if (input.z) part.z = xt::view(*input.z, xt::all(), xt::range(begin, end));
  return part;
}

InTwo ssd_in_two(const mamba2::ScanInput<double>& input, std::size_t cut) {
  const mamba2::ScanOutput<double> first = mamba2::ssd(tokens(input, 0, cut));
  mamba2::ScanInput<double> rest = tokens(input, cut, input.x.shape(1));
  rest.initial_state = first.last_state;
  const mamba2::ScanOutput<double> second = mamba2::ssd(rest);
  return {{xt::concatenate(xt::xtuple(first.y, second.y), 1), second.last_state}, first.last_state};
}
//: end

//: 3
// The tensor with `count` tokens more, which hold `value`.
template <class T, std::size_t N>
static mamba2::Tensor<T, N> longer(const mamba2::Tensor<T, N>& tensor, std::size_t count, T value) {
  std::array<std::size_t, N> shape = tensor.shape();
  shape[1] += count;
  mamba2::Tensor<T, N> result(shape, value);
  xt::view(result, xt::all(), xt::range(std::size_t{0}, tensor.shape(1))) = tensor;
  return result;
}

mamba2::ScanInput<double> pad_to_multiple(const mamba2::ScanInput<double>& input,
                                          std::size_t chunk_size) {
  const std::size_t seqlen = input.x.shape(1), count = (chunk_size - seqlen % chunk_size) % chunk_size;
  mamba2::ScanInput<double> padded = input;
  padded.x = longer(input.x, count, 0.0);
  padded.dt = longer(input.dt, count,
                     -std::numeric_limits<double>::infinity());  // a step of 0, after the softplus
  padded.B = longer(input.B, count, 0.0);
  padded.C = longer(input.C, count, 0.0);
  if (input.z) padded.z = longer(*input.z, count, 0.0);
  if (input.seq_idx) {
    padded.seq_idx = longer(*input.seq_idx, count, std::int64_t{0});
    for (std::size_t b = 0; b < input.x.shape(0); ++b)
      // The new tokens are of the last sequence: its state must survive.
      for (std::size_t t = seqlen; t < seqlen + count; ++t)
        (*padded.seq_idx)(b, t) = (*input.seq_idx)(b, seqlen - 1);
  }
  return padded;
}
//: end

//: 4
mamba2::Tensor<double, 1> packed_decays(const mamba2::Tensor<double, 1>& dA,
                                        const mamba2::Tensor<std::int64_t, 1>& seq_idx) {
  mamba2::Tensor<double, 1> forgetful = dA;
  for (std::size_t t = 1; t < dA.size(); ++t)
    if (seq_idx(t) != seq_idx(t - 1)) forgetful(t) = -std::numeric_limits<double>::infinity();
  return forgetful;
}
//: end

//: 5
// B and C say which of three places, for all heads alike. Which head listens is said by its step:
// all others take none. A step is tiny, so that it erases next to nothing, and B makes up for it.
mamba2::ScanInput<double> memory(const std::vector<Token>& tokens, std::size_t nheads) {
  const std::size_t T = tokens.size();
  const double step = 1e-6, none = -std::numeric_limits<double>::infinity();
  mamba2::ScanInput<double> in;
  in.x = mamba2::zeros<double>(1, T, nheads, 4);
  in.dt = mamba2::zeros<double>(1, T, nheads);
  in.dt.fill(none);
  in.A = mamba2::zeros<double>(nheads);
  in.A.fill(-1);
  in.B = mamba2::zeros<double>(1, T, 1, 3);
  in.C = in.B;
  for (std::size_t t = 0; t < T; ++t) {
    const Token& token = tokens[t];
    for (std::size_t h = 0; h < nheads; ++h)
      for (std::size_t p = 0; p < 4; ++p) in.x(0, t, h, p) = token.value[p];
    if (token.wants == Wants::store) {
      in.dt(0, t, token.name / 3) = std::log(std::expm1(step));  // the softplus of this is the step
      in.B(0, t, 0, token.name % 3) = 1 / step;
    }
    if (token.wants == Wants::ask) in.C(0, t, 0, token.name % 3) = 1;
  }
  return in;
}
//: end

}  // namespace exercises
