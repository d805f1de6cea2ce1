// Operators on references: parts of larger tensors, along every axis, without a copy.
#include <mamba2/cache.hpp>
#include <mamba2/fast.hpp>
#include <mamba2/ssd.hpp>
#include <support/testing.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

using namespace mamba2;
using testing::random_tensor;
using testing::relative_error;

namespace {

constexpr std::size_t batch = 2, seqlen = 23, nheads = 6, headdim = 5, ngroups = 3, d_state = 7;
constexpr std::size_t channels = nheads * headdim, d_bc = ngroups * d_state;

// A scan as it lies in a model: x, B and C side by side in one matrix, z and dt in another, with other columns between them.
template <class Real>
struct Scattered {
  Tensor<Real, 2> xBC = random_tensor<Real, 2>({batch * seqlen, channels + 2 * d_bc}, 1);
  Tensor<Real, 2> zdt = random_tensor<Real, 2>({batch * seqlen, 2 + channels + 4 + nheads}, 2, -2, 1);
  Tensor<Real, 1> A = random_tensor<Real, 1>({nheads}, 3, -3, -0.1), bias = random_tensor<Real, 1>({nheads}, 4);
  Tensor<Real, 1> D;
  std::vector<std::int64_t> seq_idx;
  Tensor<Real, 4> state = random_tensor<Real, 4>({batch, nheads, headdim, d_state}, 6);

  Scattered(std::size_t D_size, bool packed) : D(random_tensor<Real, 1>({nheads * D_size}, 5)) {
    for (std::size_t t = 0; packed && t < batch * seqlen; ++t) seq_idx.push_back(t % seqlen > 8 ? 1 : 0);
  }

  ScanRef<Real> scan() const {
    return {.sizes = {batch, seqlen, nheads, headdim, ngroups, d_state},
            .x = column_block(as_matrix(xBC), 0, channels),
            .dt = column_block(as_matrix(zdt), 2 + channels + 4, nheads),
            .A = as_span(A),
            .B = column_block(as_matrix(xBC), channels, d_bc),
            .C = column_block(as_matrix(xBC), channels + d_bc, d_bc),
            .D = as_span(D),
            .z = column_block(as_matrix(zdt), 2, channels),
            .dt_bias = as_span(bias),
            .seq_idx = seq_idx};
  }

  // The same numbers in tensors of their own.
  ScanInput<Real> owned() const {
    ScanInput<Real> in;
    const auto take = [](MatrixRef<const Real> from, auto& to) {
      for (std::size_t t = 0; t < from.rows; ++t) std::copy_n(from[t], from.columns, to.data() + t * from.columns);
    };
    const ScanRef<Real> s = scan();
    take(s.x, in.x = zeros<Real>(batch, seqlen, nheads, headdim));
    take(s.dt, in.dt = zeros<Real>(batch, seqlen, nheads));
    take(s.B, in.B = zeros<Real>(batch, seqlen, ngroups, d_state));
    take(s.C, in.C = zeros<Real>(batch, seqlen, ngroups, d_state));
    take(s.z, *(in.z = zeros<Real>(batch, seqlen, nheads, headdim)));
    in.A = A;
    in.dt_bias = bias;
    if (D.size() > 0) std::copy(D.begin(), D.end(), (in.D = zeros<Real>(nheads, D.size() / nheads))->begin());
    in.initial_state = state;
    if (!seq_idx.empty())
      std::copy(seq_idx.begin(), seq_idx.end(), (in.seq_idx = Tensor<std::int64_t, 2>({batch, seqlen}))->begin());
    return in;
  }
};

template <class Real>
using Scan = void (*)(const ScanRef<Real>&, const ScanOptions&, ScanState<Real>, MatrixRef<Real>);

template <class Real>
struct Results {
  Tensor<Real, 4> state, y = zeros<Real>(batch, seqlen, nheads, headdim);

  MatrixRef<Real> states() { return as_rows<1>(state); }
  MatrixRef<Real> outputs() { return as_rows<2>(y); }
};

}  // namespace

TEMPLATE_TEST_CASE("a scan of scattered columns is the scan of tensors", "[ssd][fast]", float, double) {
  const double tolerance = sizeof(TestType) == 4 ? 2e-5 : 1e-12;
  for (const std::size_t D_size : {0, 1, static_cast<int>(headdim)})
    for (const bool packed : {false, true}) {
      const Scattered<TestType> s(D_size, packed);
      const auto want = ssd(s.owned(), {.dt_max = 0.7, .algorithm = Algorithm::recurrent});
      for (const Scan<TestType> scan : {unchecked::scan<TestType>, unchecked::fast_scan<TestType>})
        for (const std::size_t chunk_size : {1, 5, 64}) {
          CAPTURE(D_size, packed, chunk_size, scan == unchecked::fast_scan<TestType>);
          Results<TestType> got{s.state};
          scan(s.scan(), {.dt_max = 0.7, .chunk_size = chunk_size}, got.states(), got.outputs());
          CHECK(relative_error(got.y, want.y) < tolerance);
          CHECK(relative_error(got.state, want.last_state) < tolerance);
        }
    }
}

// Heads of one group, all heads of two groups, one batch entry, a stretch of time: each run by itself on its part of the
// memory gives its part of the whole.
TEMPLATE_TEST_CASE("a part of a scan, along any axis, is a scan", "[ssd][fast]", float, double) {
  const double tolerance = sizeof(TestType) == 4 ? 2e-5 : 1e-12;
  const Scattered<TestType> s(headdim, false);
  for (const Scan<TestType> scan : {unchecked::scan<TestType>, unchecked::fast_scan<TestType>}) {
    const ScanOptions options{.chunk_size = 4};
    Results<TestType> want{s.state};
    scan(s.scan(), options, want.states(), want.outputs());

    Results<TestType> by_heads{s.state};
    for (const auto& [first, count] : {std::array<std::size_t, 2>{0, 1}, {1, 1}, {2, 4}}) {
      const std::size_t N = headdim * d_state;
      scan(some_heads(s.scan(), first, count), options, column_block(by_heads.states(), first * N, count * N),
           column_block(by_heads.outputs(), first * headdim, count * headdim));
    }
    CHECK(relative_error(by_heads.y, want.y) < tolerance);
    CHECK(relative_error(by_heads.state, want.state) < tolerance);

    Results<TestType> by_time{s.state};
    for (std::size_t b = 0; b < batch; ++b) {
      const ScanRef<TestType> sequence = one_sequence(s.scan(), b);
      for (const auto& [first, count] : {std::array<std::size_t, 2>{0, 9}, {9, 1}, {10, 13}})
        scan(some_tokens(sequence, first, count), options, row_block(by_time.states(), b, 1),
             row_block(by_time.outputs(), b * seqlen + first, count));
    }
    CHECK(relative_error(by_time.y, want.y) < tolerance);
    CHECK(relative_error(by_time.state, want.state) < tolerance);
  }
}

TEMPLATE_TEST_CASE("steps on scattered columns are the scan", "[cache][fast]", float, double) {
  const double tolerance = sizeof(TestType) == 4 ? 2e-5 : 1e-12;
  const Scattered<TestType> s(1, false);
  ScanRef<TestType> scan = s.scan();
  scan.z = {};
  Results<TestType> want{s.state};
  unchecked::scan<TestType>(scan, {.algorithm = Algorithm::recurrent}, want.states(), want.outputs());
  for (const Scan<TestType> step : {unchecked::scan_step<TestType>, fast_operations<TestType>().scan_step}) {
    Results<TestType> got{s.state};
    for (std::size_t t = 0; t < seqlen; ++t) {
      // Both sequences at once: their rows lie seqlen rows apart.
      const auto at = [&](auto m) {
        m.data += t * m.stride, m.rows = batch, m.stride *= seqlen;
        return m;
      };
      ScanRef<TestType> token = scan;
      token.sizes.seqlen = 1;
      token.x = at(scan.x), token.dt = at(scan.dt), token.B = at(scan.B), token.C = at(scan.C);
      step(token, {}, got.states(), at(got.outputs()));
    }
    CHECK(relative_error(got.y, want.y) < tolerance);
    CHECK(relative_error(got.state, want.state) < tolerance);
  }
}
