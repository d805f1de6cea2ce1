// Heads that forget next to nothing: after 200,000 tokens the state in float is still that of double.
#include <mamba2/cache.hpp>
#include <mamba2/fast.hpp>
#include <mamba2/parallel.hpp>
#include <mamba2/ssd.hpp>
#include <support/testing.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

using namespace mamba2;
using testing::random_tensor;

namespace {

constexpr std::size_t nheads = 6, headdim = 1, d_state = 19, seqlen = 200000;
constexpr double tolerance = 1e-5;
const std::vector<float> rates{-1e-9F, -2.9e-8F, -1e-7F, -1e-6F, -3e-5F, -1e-4F};

// What the tokens bring: nothing, so that the first state only fades; always the same; anything.
enum class Inputs { none, constant, random };

ScanInput<float> slow_input(Inputs inputs, std::size_t tokens = seqlen) {
  ScanInput<float> in;
  in.x = zeros<float>(1, tokens, nheads, headdim);
  if (inputs == Inputs::constant) in.x.fill(0.37F);
  if (inputs == Inputs::random) in.x = random_tensor<float, 4>(in.x.shape(), 1);
  in.dt = Tensor<float, 3>({1, tokens, nheads}, 1);
  in.A = Tensor<float, 1>::from_shape({nheads});
  std::copy(rates.begin(), rates.end(), in.A.begin());
  in.B = Tensor<float, 4>({1, tokens, 1, d_state}, 0.7F);
  if (inputs == Inputs::random) in.B = random_tensor<float, 4>(in.B.shape(), 2);
  in.C = random_tensor<float, 4>(in.B.shape(), 3);
  in.initial_state = random_tensor<float, 4>({1, nheads, headdim, d_state}, 4, 0.5, 1);
  return in;
}

// The recurrence in double.
Tensor<double, 4> in_double(const ScanInput<float>& in) {
  Tensor<double, 4> state = *in.initial_state;
  for (std::size_t h = 0; h < nheads; ++h)
    for (std::size_t t = 0; t < in.x.shape(1); ++t) {
      const double dt = in.dt(0, t, h), decay = std::exp(dt * static_cast<double>(in.A(h)));
      for (std::size_t p = 0; p < headdim; ++p)
        for (std::size_t n = 0; n < d_state; ++n)
          state(0, h, p, n) = decay * state(0, h, p, n) +
                              dt * static_cast<double>(in.x(0, t, h, p)) * static_cast<double>(in.B(0, t, 0, n));
    }
  return state;
}

void check_heads(const Tensor<float, 4>& got, const Tensor<double, 4>& want) {
  for (std::size_t h = 0; h < nheads; ++h) {
    double difference = 0, size = 0;
    for (std::size_t i = 0; i < headdim * d_state; ++i) {
      const double w = (&want(0, h, 0, 0))[i], d = static_cast<double>((&got(0, h, 0, 0))[i]) - w;
      difference += d * d, size += w * w;
    }
    INFO("log-decay " << rates[h] << ": error " << std::sqrt(difference / size));
    CHECK(std::sqrt(difference / size) < tolerance);
  }
}

ScanOptions options(Algorithm algorithm, std::size_t chunk_size) {
  return {.dt_softplus = false, .chunk_size = chunk_size, .algorithm = algorithm};
}

using Scan = void (*)(const ScanRef<float>&, const ScanOptions&, ScanState<float>, MatrixRef<float>);

// One thread, while a test runs: there is too little to do for more.
struct InOneThread {
  std::size_t before = num_threads();
  InOneThread() { set_num_threads(1); }
  ~InOneThread() { set_num_threads(before); }
};

// A state with its remainders, as a cache holds them.
struct Kept {
  Tensor<float, 4> state;
  std::vector<std::vector<float>> remainder = std::vector<std::vector<float>>(nheads);

  ScanState<float> ref() { return {as_rows<1>(state), {remainder.data(), 1, nheads, nheads}}; }
};

}  // namespace

TEST_CASE("slow heads keep their state over 200,000 tokens read at once", "[ssd][fast][slow]") {
  const InOneThread one_thread;
  for (const Inputs inputs : {Inputs::none, Inputs::constant, Inputs::random}) {
    const ScanInput<float> in = slow_input(inputs);
    const Tensor<double, 4> want = in_double(in);
    for (const std::size_t chunk_size : {64, 256}) {
      CAPTURE(static_cast<int>(inputs), chunk_size);
      INFO("fast");
      check_heads(fast_ssd(in, options(Algorithm::chunked, chunk_size)).last_state, want);
      INFO("no, chunked");
      check_heads(ssd(in, options(Algorithm::chunked, chunk_size)).last_state, want);
    }
    INFO("recurrent");
    check_heads(ssd(in, options(Algorithm::recurrent, 64)).last_state, want);
  }
}

// Its state is one product over all tokens, and how that sum rounds is up to the library: over 1500 equal terms, one of them
// (OpenBLAS 0.3.29 with AVX-512) is wrong by 1.06e-5.
TEST_CASE("slow heads keep their state in the quadratic form", "[ssd][slow]") {
  for (const Inputs inputs : {Inputs::none, Inputs::constant, Inputs::random}) {
    const ScanInput<float> in = slow_input(inputs, 1000);
    check_heads(ssd(in, options(Algorithm::quadratic, 64)).last_state, in_double(in));
  }
}

TEST_CASE("slow heads keep their state over 200,000 steps", "[cache][fast][slow]") {
  const InOneThread one_thread;
  for (const Inputs inputs : {Inputs::none, Inputs::constant, Inputs::random}) {
    const ScanInput<float> in = slow_input(inputs);
    const ScanRef<float> ref = in;
    const Tensor<double, 4> want = in_double(in);
    for (const Scan step : {unchecked::scan_step<float>, unchecked::fast_scan_step<float>}) {
      CAPTURE(static_cast<int>(inputs), step == unchecked::fast_scan_step<float>);
      Kept kept{*in.initial_state};
      auto y = zeros<float>(1, nheads * headdim);
      for (std::size_t t = 0; t < seqlen; ++t)
        step(some_tokens(ref, t, 1), options(Algorithm::chunked, 64), kept.ref(), as_matrix(y));
      check_heads(kept.state, want);
    }
  }
}

// Prefill, steps, prefill, by turns, some of them shorter than a chunk, some longer.
TEST_CASE("slow heads keep their state from call to call", "[cache][fast][slow]") {
  const InOneThread one_thread;
  for (const Inputs inputs : {Inputs::none, Inputs::constant, Inputs::random}) {
    const ScanInput<float> in = slow_input(inputs);
    const Tensor<double, 4> want = in_double(in);
    for (const bool fast : {false, true}) {
      CAPTURE(static_cast<int>(inputs), fast);
      const Scan scan = fast ? unchecked::fast_scan<float> : unchecked::scan<float>;
      const Scan step = fast ? unchecked::fast_scan_step<float> : unchecked::scan_step<float>;
      Kept kept{*in.initial_state};
      auto y = zeros<float>(200, nheads * headdim);
      std::size_t t = 0;
      for (std::size_t turn = 0; t < seqlen; ++turn) {
        const std::size_t length =
            std::min(std::vector<std::size_t>{1, 3, 1, 1, 9, 1, 64, 1, 100}[turn % 9], seqlen - t);
        (length == 1 ? step : scan)(some_tokens<float>(in, t, length), options(Algorithm::chunked, 64), kept.ref(),
                                    row_block(as_matrix(y), 0, length));
        t += length;
      }
      check_heads(kept.state, want);
    }
  }
}

TEST_CASE("a remainder that belongs to another state does no harm", "[cache][fast][slow]") {
  ScanInput<float> in = slow_input(Inputs::random, 40);
  for (const bool fast : {false, true})
    for (const std::size_t length : {1, 40}) {
      CAPTURE(fast, length);
      const Scan scan = fast ? unchecked::fast_scan<float> : unchecked::scan<float>;
      const Scan step = fast ? unchecked::fast_scan_step<float> : unchecked::scan_step<float>;
      auto y = zeros<float>(40, nheads * headdim);
      const auto run = [&](Kept& kept) {
        (length == 1 ? step : scan)(some_tokens<float>(in, 0, length), options(Algorithm::chunked, 64), kept.ref(),
                                    row_block(as_matrix(y), 0, length));
      };
      Kept huge{1e6F * *in.initial_state}, fresh{*in.initial_state};
      run(huge);
      run(huge);
      huge.state = *in.initial_state;  // and the remainders are forgotten
      run(huge);
      run(fresh);
      CHECK(testing::relative_error(huge.state, fresh.state) < 1e-6);
      for (auto& rest : fresh.remainder) rest.resize(3);  // of another size
      CHECK_NOTHROW(run(fresh));
    }
}

// Fast heads have none, so that nothing is read and written for them; what slow tokens left is dropped.
TEST_CASE("only slow heads have a remainder in the fast operations", "[fast][slow]") {
  ScanInput<float> in = slow_input(Inputs::random, 20);
  in.A = Tensor<float, 1>{-1e-7F, -1, -1e-6F, -0.3F, -20, -1e-9F};
  Kept kept{*in.initial_state};
  auto y = zeros<float>(20, nheads * headdim);
  const auto sizes = [&] {
    std::vector<std::size_t> all;
    for (const auto& rest : kept.remainder) all.push_back(rest.size());
    return all;
  };
  const std::size_t size = headdim * d_state;
  unchecked::fast_scan_step<float>(some_tokens<float>(in, 0, 1), {.dt_softplus = false}, kept.ref(), as_matrix(y));
  CHECK(sizes() == std::vector<std::size_t>{size, 0, size, 0, 0, size});
  unchecked::fast_scan<float>(in, {.dt_softplus = false}, kept.ref(), as_matrix(y));
  CHECK(sizes() == std::vector<std::size_t>{size, 0, size, 0, 0, size});
  in.dt.fill(3000);
  unchecked::fast_scan_step<float>(some_tokens<float>(in, 0, 1), {.dt_softplus = false}, kept.ref(), as_matrix(y));
  CHECK(sizes() == std::vector<std::size_t>{size, 0, size, 0, 0, size});
  in.dt.fill(1e6);
  unchecked::fast_scan_step<float>(some_tokens<float>(in, 0, 1), {.dt_softplus = false}, kept.ref(), as_matrix(y));
  CHECK(sizes() == std::vector<std::size_t>{0, 0, 0, 0, 0, size});
}

TEST_CASE("a step of the front door keeps remainders where it is given a place for them", "[cache][slow]") {
  ScanInput<float> in = slow_input(Inputs::none, 1);
  Tensor<float, 4> state = *in.initial_state;
  in.initial_state.reset();
  std::vector<std::vector<float>> remainder;
  for (int t = 0; t < 20000; ++t) scan_step(in, {.dt_softplus = false}, state, &remainder);
  CHECK(remainder.size() == nheads);
  const auto first = random_tensor<float, 4>({1, nheads, headdim, d_state}, 4, 0.5, 1);
  for (std::size_t h = 0; h < nheads; ++h)
    CHECK(state(0, h, 0, 2) ==
          Approx(first(0, h, 0, 2) * std::exp(20000.0 * static_cast<double>(rates[h]))).epsilon(1e-6));
}
