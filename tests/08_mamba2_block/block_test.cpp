#include <mamba2/block.hpp>
#include <mamba2/error.hpp>
#include <mamba2/selection.hpp>
#include <support/block_cases.hpp>
#include <support/testing.hpp>

#include <limits>
#include <map>
#include <string>
#include <vector>

using namespace mamba2;
using testing::block_case;
using testing::golden_tolerance;
using testing::message_of;
using testing::random_tensor;
using testing::relative_error;

TEMPLATE_TEST_CASE("the block gives the golden outputs and states, with each algorithm", "[block]", float, double) {
  const auto name = GENERATE(from_range(testing::block_cases));
  const auto algorithm = GENERATE(Algorithm::recurrent, Algorithm::quadratic, Algorithm::chunked);
  CAPTURE(name, static_cast<int>(algorithm));
  const auto golden = block_case<TestType>(name);
  const Mamba2Block<TestType> block(golden.config, golden.parameters);
  const auto [y, cache] = block.forward(golden.u_prefill(), {.algorithm = algorithm});
  CHECK(relative_error(y, golden.load3("y")) < golden_tolerance<TestType>);
  CHECK(relative_error(cache.conv_state, golden.load3("conv_state")) < golden_tolerance<TestType>);
  CHECK(relative_error(cache.ssm_state, golden.load4("ssm_state")) < golden_tolerance<TestType>);
}

namespace {

// A small block in which every size differs and every option that costs nothing is in use.
Mamba2Config small_config() {
  return {.d_model = 10,
          .d_state = 5,
          .d_conv = 3,
          .expand = 3,
          .headdim = 4,
          .d_ssm = 24,
          .ngroups = 2,
          .chunk_size = 7,
          .dt_limit_min = 0.02,
          .dt_limit_max = 0.5,
          .D_has_hdim = true,
          .bias = true};
}

const Mamba2Block<double>& small_block() {
  static const Mamba2Block<double> block = [] {
    Mamba2Block<double> made(small_config(), 3);
    std::uint64_t seed = 100;  // as if trained: no parameter is left at a round number
    made.update([&](auto& parameters) {
      for (const auto& values : parameter_spans(parameters)) {
        testing::Random random(seed++);
        for (double& value : values) value += random.uniform(-0.3, 0.3);
      }
    });
    return made;
  }();
  return block;
}

Tensor<double, 3> tokens(std::size_t batch, std::size_t seqlen, std::uint64_t seed = 1) {
  return random_tensor<double, 3>({batch, seqlen, 10}, seed);
}

template <std::size_t N>
Tensor<double, N> piece(const Tensor<double, N>& u, std::size_t first, std::size_t last) {
  return xt::view(u, xt::all(), xt::range(first, last));
}

}  // namespace

TEST_CASE("a token changes no output before it", "[block]") {
  auto u = tokens(2, 17);
  const auto before = small_block().forward(u).y;
  u(1, 9, 4) += 1;
  const auto after = small_block().forward(u).y;
  for (std::size_t b = 0; b < 2; ++b) {
    for (std::size_t t = 0; t < 17; ++t) {
      const auto change = xt::sum(xt::abs(xt::view(after, b, t) - xt::view(before, b, t)))();
      if (b == 1 && t >= 9) CHECK(change > 1e-6);
      if (b == 0 || t < 9) CHECK(change < 1e-13);
    }
  }
}

TEST_CASE("the chunk size does not matter", "[block]") {
  const auto u = tokens(2, 23);
  const auto want = small_block().forward(u, {.algorithm = Algorithm::recurrent});
  for (const std::size_t chunk_size : {1, 2, 5, 23, 64}) {
    const auto got = small_block().forward(u, {.chunk_size = chunk_size});
    CHECK(relative_error(got.y, want.y) < 1e-13);
    CHECK(relative_error(got.cache.ssm_state, want.cache.ssm_state) < 1e-13);
  }
}

TEST_CASE("the sequences of a batch do not see each other", "[block]") {
  const auto u = tokens(3, 11);
  const auto together = small_block().forward(u);
  for (std::size_t b = 0; b < 3; ++b) {
    const Tensor<double, 3> alone = xt::view(u, xt::range(b, b + 1));
    const auto out = small_block().forward(alone);
    CHECK(relative_error(out.y, Tensor<double, 3>(xt::view(together.y, xt::range(b, b + 1)))) < 1e-13);
    CHECK(relative_error(out.cache.conv_state,
                         Tensor<double, 3>(xt::view(together.cache.conv_state, xt::range(b, b + 1)))) < 1e-13);
  }
}

TEST_CASE("packed sequences give what each gives alone", "[block]") {
  const std::vector<std::size_t> starts{0, 1, 3, 12, 14};  // lengths 1, 2, 9, 2: shorter and longer than the window
  const auto u = tokens(2, 14);
  Tensor<std::int64_t, 2> seq_idx({2, 14});
  for (std::size_t i = 0; i + 1 < starts.size(); ++i) {
    // The last sequence bears the number of the first: what counts is the change.
    for (std::size_t t = starts[i]; t < starts[i + 1]; ++t) xt::view(seq_idx, xt::all(), t) = i % 3;
  }
  for (const auto algorithm : {Algorithm::recurrent, Algorithm::quadratic, Algorithm::chunked}) {
    const auto packed = small_block().forward(u, {.seq_idx = &seq_idx, .algorithm = algorithm});
    for (std::size_t i = 0; i + 1 < starts.size(); ++i) {
      const auto alone = small_block().forward(piece(u, starts[i], starts[i + 1]));
      CHECK(relative_error(piece(packed.y, starts[i], starts[i + 1]), alone.y) < 1e-13);
      if (i + 2 < starts.size()) continue;
      CHECK(relative_error(packed.cache.conv_state, alone.cache.conv_state) < 1e-14);
      CHECK(relative_error(packed.cache.ssm_state, alone.cache.ssm_state) < 1e-13);
    }
  }
}

TEST_CASE("packed sequences may go on from a cache: it belongs to the first of them", "[block]") {
  const auto u = tokens(1, 12);
  const auto whole = small_block().forward(piece(u, 0, 7));
  const auto first = small_block().forward(piece(u, 0, 5));
  Tensor<std::int64_t, 2> seq_idx({1, 7});
  for (std::size_t t = 0; t < 7; ++t) seq_idx(0, t) = t < 2 ? 0 : 1;
  const auto rest = small_block().forward(piece(u, 5, 12), {.cache = &first.cache, .seq_idx = &seq_idx});
  CHECK(relative_error(piece(rest.y, 0, 2), piece(whole.y, 5, 7)) < 1e-13);
  CHECK(relative_error(piece(rest.y, 2, 7), small_block().forward(piece(u, 7, 12)).y) < 1e-13);
}

TEST_CASE("a sequence of no tokens is a sequence", "[block]") {
  const auto seen = small_block().forward(tokens(2, 4));
  const auto none = small_block().forward(tokens(2, 0), {.cache = &seen.cache});
  CHECK(none.y.shape() == std::array<std::size_t, 3>{2, 0, 10});
  CHECK(relative_error(none.cache.conv_state, seen.cache.conv_state) == 0);
  CHECK(relative_error(none.cache.ssm_state, seen.cache.ssm_state) == 0);
  CHECK(small_block().forward(tokens(0, 4)).y.shape() == std::array<std::size_t, 3>{0, 4, 10});
}

TEST_CASE("what is kept of a forward pass fits together", "[block]") {
  Mamba2Activations<double> kept;
  const auto u = tokens(2, 9);
  const auto out = small_block().forward(u, {.keep = &kept});
  Tensor<double, 3> y({2, 9, 10});
  const auto& p = small_block().parameters();
  linear<double>(as_matrix(kept.merged), as_matrix(p.out_proj_weight), p.out_proj_bias, as_rows(y));
  CHECK(relative_error(y, out.y) == 0);
  const Tensor<double, 1> A = rates(p.A_log);
  auto state = out.cache.ssm_state;
  state.fill(0);
  auto scanned = kept.y;
  unchecked::scan<double>(scan_ref(small_block().config(), p, A, 2, kept), {.dt_min = 0.02, .dt_max = 0.5},
                          as_rows<1>(state), as_matrix(scanned));
  CHECK(relative_error(scanned, kept.y) < 1e-13);
  CHECK(relative_error(state, out.cache.ssm_state) < 1e-13);
}

TEST_CASE("the ungrouped norm is the grouped one where there is one group, and only there", "[block]") {
  for (const std::size_t ngroups : {1, 2}) {
    auto config = small_config();
    config.ngroups = ngroups;
    const Mamba2Block<double> grouped(config, 5);
    config.norm_over_all_channels = true;
    const Mamba2Block<double> ungrouped(config, grouped.parameters());
    const double difference = relative_error(ungrouped.forward(tokens(1, 6)).y, grouped.forward(tokens(1, 6)).y);
    if (ngroups == 1) CHECK(difference == 0);
    if (ngroups == 2) CHECK(difference > 1e-3);
  }
}

TEST_CASE("a block computes with the operations it is told to use", "[block]") {
  static int calls = 0;
  auto counting = plain_operations<double>();
  counting.linear = [](MatrixRef<const double> x, MatrixRef<const double> w, std::span<const double> b,
                       MatrixRef<double> y) {
    ++calls;
    linear<double>(x, w, b, y);
  };
  auto block = small_block(), plain = small_block();
  block.use(counting);
  plain.use(plain_operations<double>());
  CHECK(relative_error(block.forward(tokens(1, 5)).y, plain.forward(tokens(1, 5)).y) == 0);
  CHECK(calls == 2);
}

TEST_CASE("parameters are walked in the order of a checkpoint, without those that are not there", "[block]") {
  auto config = small_config();
  const auto names_of = [&] {
    std::vector<std::string> names;
    const auto p = zero_parameters<float>(config);
    walk(config, [&](const ParameterInfo& info, std::span<const float>) { names.push_back(info.name); }, p);
    return names;
  };
  CHECK(names_of() == std::vector<std::string>{"dt_bias", "A_log", "D", "in_proj.weight", "in_proj.bias",
                                               "conv1d.weight", "conv1d.bias", "norm.weight", "out_proj.weight",
                                               "out_proj.bias"});
  config.bias = config.conv_bias = config.rmsnorm = false;
  CHECK(names_of() ==
        std::vector<std::string>{"dt_bias", "A_log", "D", "in_proj.weight", "conv1d.weight", "out_proj.weight"});
}

TEST_CASE("a walk goes through sets of different types in step", "[block]") {
  const Mamba2Block<float> block(small_config(), 8);
  auto copy = zero_parameters<double>(small_config()), twice = copy;
  std::size_t numbers = 0;
  walk(
      small_config(),
      [&](const ParameterInfo& info, std::span<const float> from, std::span<double> to, std::span<double> two) {
        numbers += info.size();
        for (std::size_t i = 0; i < from.size(); ++i) to[i] = static_cast<double>(from[i]), two[i] = 2 * to[i];
      },
      block.parameters(), copy, twice);
  CHECK(numbers == 86 * 10 + 86 + 44 * 3 + 44 + 24 + 24 + 6 + 6 + 10 * 30 + 10);
  CHECK(relative_error(copy.in_proj_weight, block.parameters().in_proj_weight) == 0);
  CHECK(relative_error(copy.out_proj_bias, block.parameters().out_proj_bias) == 0);
  CHECK(twice.conv1d_weight(7, 0, 2) == 2 * copy.conv1d_weight(7, 0, 2));

  const auto nothing = [](const auto&, auto, auto) {};
  auto other = small_config();
  other.bias = false;
  auto fewer = zero_parameters<float>(other);
  CHECK(message_of<ShapeError>([&] { walk(small_config(), nothing, copy, fewer); }) ==
        "parameters: expected 10 in each set, got another number");
  other = small_config();
  other.d_state = 4;
  fewer = zero_parameters<float>(other);
  CHECK(message_of<ShapeError>([&] { walk(small_config(), nothing, copy, fewer); }) ==
        "in_proj.weight: expected shape (d_in_proj, d_model) = (86, 10), got another number of numbers");
}

TEST_CASE("weight decay touches weights and taps, nothing else", "[block][golden]") {
  std::vector<std::string> decayed;
  for (const auto& info : parameter_list(small_config()))
    if (info.decays) decayed.push_back(info.name);
  CHECK(decayed == std::vector<std::string>{"in_proj.weight", "conv1d.weight", "out_proj.weight"});
}

namespace {

// What each of several machines gives, added up.
Tensor<double, 3> sum_of_parts(const Mamba2Block<double>& whole, std::size_t count, const Tensor<double, 3>& u) {
  const Mamba2Sizes sizes = part_of(whole.sizes(), count);
  auto sum = zeros<double>(u.shape(0), u.shape(1), u.shape(2));
  for (std::size_t index = 0; index < count; ++index) {
    auto part = zero_parameters<double>(sizes);
    const auto list = parameter_list(whole.sizes());
    const auto from = parameter_spans(whole.parameters());
    const auto to = parameter_spans(part);
    REQUIRE(to.size() == list.size());
    for (std::size_t i = 0; i < list.size(); ++i) take_part<double>(list[i], from[i], index, count, to[i]);
    sum += Mamba2Block<double>(sizes, part).forward(u).y;
  }
  return sum;
}

}  // namespace

TEST_CASE("the parts of a block give together what the block gives", "[block]") {
  const auto u = tokens(2, 9);
  CHECK(relative_error(sum_of_parts(small_block(), 2, u), small_block().forward(u).y) < 1e-13);

  auto config = small_config();  // without the norm, a group can be shared: a norm would look over all of it
  config.rmsnorm = false;
  for (const std::size_t groups : {1, 2, 3}) {
    config.ngroups = groups;
    const Mamba2Block<double> block(config, 6);
    const auto want = block.forward(u).y;
    for (const std::size_t count : {1, 2, 3, 6}) {
      if (count % groups != 0 && groups % count != 0) {
        CHECK_THROWS_AS(part_of(config, count), ValueError);
        continue;
      }
      CAPTURE(groups, count);
      CHECK(relative_error(sum_of_parts(block, count, u), want) < 1e-13);
    }
  }
  CHECK(message_of<ValueError>([] { part_of(small_config(), 4); }) ==
        "nheads: expected a number that can be dealt out in 4 parts, got 6");
  CHECK_THROWS_AS(part_of(small_config(), 0), ValueError);
  const Mamba2Sizes half = part_of(small_config(), 2);
  CHECK(half.nheads == 3);
  CHECK(half.ngroups == 1);
  CHECK(half.d_model == 10);
  CHECK(half.d_in_proj == 43);
}

TEST_CASE("what follows from parameters is derived again when they change", "[block]") {
  auto block = small_block();
  const auto u = tokens(1, 6);
  const auto before = block.forward(u).y;
  block.update([](auto& parameters) { parameters.A_log += 1; });
  const auto after = block.forward(u).y;
  CHECK(relative_error(after, before) > 1e-4);
  CHECK(relative_error(Mamba2Block<double>(small_config(), block.parameters()).forward(u).y, after) == 0);
  const auto moved = std::move(block);
  CHECK(relative_error(moved.forward(u).y, after) == 0);
  CHECK(relative_error(small_block().forward(u).y, before) == 0);  // the one that was copied
}

TEST_CASE("the block of the 130M model has its published number of parameters", "[block]") {
  std::size_t count = 0;
  for (const auto& info : parameter_list(Mamba2Config{.d_model = 768})) count += info.size();
  // 128,989,632 in all: 24 blocks with a norm of 768 each, the embedding, and the last norm.
  CHECK(24 * (count + 768) + 50288 * 768 + 768 == 128989632);
}

TEST_CASE("fresh parameters are drawn from their ranges, and by their seed", "[block]") {
  Mamba2Config config{.d_model = 64, .headdim = 1, .conv_init = 0.125, .bias = true};
  Random random(11);
  const auto p = initial_parameters<double>(config, random);
  const auto range = [](const auto& tensor) { return std::pair{xt::amin(tensor)(), xt::amax(tensor)()}; };
  const auto within = [&](const auto& tensor, double bound) {
    const auto [low, high] = range(tensor);
    return low >= -bound && low < -0.9 * bound && high < bound && high > 0.9 * bound;
  };
  CHECK(within(p.in_proj_weight, 0.125));  // 1 / sqrt(64)
  CHECK(within(p.in_proj_bias, 0.125));
  CHECK(within(p.out_proj_weight, 1 / std::sqrt(128.0)));
  CHECK(within(p.conv1d_weight, 0.125));  // conv_init
  CHECK(within(p.conv1d_bias, 0.5));      // 1 / sqrt(4)
  CHECK(range(p.D) == std::pair{1.0, 1.0});
  CHECK(range(p.norm_weight) == std::pair{1.0, 1.0});
  CHECK(range(p.A_log).first >= 0);
  CHECK(range(p.A_log).second < std::log(16.0));
  CHECK(relative_error(Mamba2Block<double>(config, 11).parameters().A_log, p.A_log) == 0);
  CHECK(relative_error(Mamba2Block<double>(config, 12).parameters().A_log, p.A_log) > 0.01);
}

TEST_CASE("a configuration says which field makes no block", "[block]") {
  const auto refusal = [](auto change) {
    auto config = small_config();
    change(config);
    return message_of<ValueError>([&] { config.check(); });
  };
  const double infinity = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  using C = Mamba2Config;
  CHECK(refusal([](C& c) { c.d_model = 0; }) == "d_model: expected at least 1, got 0");
  CHECK(refusal([](C& c) { c.d_state = 0; }) == "d_state: expected at least 1, got 0");
  CHECK(refusal([](C& c) { c.d_conv = 0; }) == "d_conv: expected at least 1, got 0");
  CHECK(refusal([](C& c) { c.expand = 0; }) == "expand: expected at least 1, got 0");
  CHECK(refusal([](C& c) { c.headdim = 0; }) == "headdim: expected at least 1, got 0");
  CHECK(refusal([](C& c) { c.chunk_size = 0; }) == "chunk_size: expected at least 1, got 0");
  CHECK(refusal([](C& c) { c.d_ssm = 32; }) == "d_ssm: expected at most d_inner = expand * d_model = 30, got 32");
  CHECK(refusal([](C& c) { c.headdim = 5; }) == "headdim: expected a divisor of the channels of the scan = 24, got 5");
  CHECK(refusal([](C& c) { c.ngroups = 4; }) == "ngroups: expected a divisor of the number of heads = 6, got 4");
  CHECK(refusal([](C& c) { c.ngroups = 0; }) == "ngroups: expected a divisor of the number of heads = 6, got 0");
  CHECK(refusal([](C& c) { c.A_init_min = 0; }) == "A_init_min: expected above 0, got 0");
  CHECK(refusal([](C& c) { c.A_init_max = 0.5; }) == "A_init_max: expected at least A_init_min = 1, got 0.5");
  CHECK(refusal([=](C& c) { c.A_init_max = infinity; }) == "A_init_max: expected a finite number, got inf");
  CHECK(refusal([](C& c) { c.dt_min = 0; }) == "dt_min: expected above 0, got 0");
  CHECK(refusal([](C& c) { c.dt_max = 1e-4; }) == "dt_max: expected at least dt_min = 0.001, got 0.0001");
  CHECK(refusal([](C& c) { c.dt_init_floor = -1; }) == "dt_init_floor: expected at least 0, got -1");
  CHECK(refusal([](C& c) { c.conv_init = -1; }) == "conv_init: expected at least 0, got -1");
  CHECK(refusal([](C& c) { c.dt_limit_min = -1; }) == "dt_limit_min: expected at least 0, got -1");
  CHECK(refusal([](C& c) { c.dt_limit_max = 0.01; }) ==
        "dt_limit_max: expected at least dt_limit_min = 0.02, got 0.01");
  CHECK(refusal([=](C& c) { c.dt_limit_max = nan; }) == "dt_limit_max: expected at least dt_limit_min = 0.02, got nan");
  CHECK(refusal([](C& c) { c.norm_eps = -1; }) == "norm_eps: expected at least 0, got -1");
  CHECK_NOTHROW(small_config().check());
  CHECK_THROWS_AS(Mamba2Block<float>(Mamba2Config{}, 0), ValueError);
  CHECK_THROWS_AS(zero_parameters<float>(Mamba2Config{}), ValueError);
}

TEST_CASE("a block refuses parameters and inputs of other shapes, by name", "[block]") {
  const auto with = [](auto change) {
    auto p = small_block().parameters();
    change(p);
    return message_of<ShapeError>([&] { Mamba2Block<double>(small_config(), p); });
  };
  using P = Mamba2Parameters<double>;
  CHECK(with([](P& p) { p.A_log = zeros<double>(7); }) == "A_log: expected shape (nheads) = (6), got (7)");
  CHECK(with([](P& p) { p.D = zeros<double>(6); }) == "D: expected shape (d_ssm) = (24), got (6)");
  CHECK(with([](P& p) { p.conv1d_weight = zeros<double>(44, 3, 1); }) ==
        "conv1d.weight: expected shape (conv_dim, 1, d_conv) = (44, 1, 3), got (44, 3, 1)");
  CHECK(with([](P& p) { p.in_proj_bias = zeros<double>(0); }) ==
        "in_proj.bias: expected shape (d_in_proj) = (86), got (0)");
  // Every parameter is looked at.
  for (const auto& info : parameter_list(small_config())) {
    auto p = small_block().parameters();
    with_tensors(small_block().sizes(), p, [&](const ParameterInfo& other, auto& tensor) {
      if (other.name != info.name) return;
      auto shape = tensor.shape();
      shape.back() += 1;
      tensor.resize(shape);
    });
    const auto message = message_of<ShapeError>([&] { Mamba2Block<double>(small_config(), p); });
    CHECK(message.find(info.name + ": expected shape " + info.axes) == 0);
  }

  CHECK(message_of<ShapeError>([] { small_block().forward(zeros<double>(2, 5, 9)); }) ==
        "u: expected shape (batch, seqlen, d_model) = (2, 5, 10), got (2, 5, 9)");
  const auto cache = small_block().empty_cache(3);
  CHECK(message_of<ShapeError>([&] { small_block().forward(tokens(2, 5), {.cache = &cache}); }) ==
        "conv_state: expected shape (batch, conv_dim, d_conv) = (2, 44, 3), got (3, 44, 3)");
  const Tensor<std::int64_t, 2> seq_idx({2, 4}, 0);
  CHECK(message_of<ShapeError>([&] { small_block().forward(tokens(2, 5), {.seq_idx = &seq_idx}); }) ==
        "seq_idx: expected shape (batch, seqlen) = (2, 5), got (2, 4)");
}

TEST_CASE("the linear layer refuses what does not fit", "[block]") {
  const Tensor<double, 2> x = zeros<double>(3, 4), w = zeros<double>(5, 4);
  auto y = zeros<double>(3, 6);
  CHECK(message_of<ShapeError>([&] { linear<double>(as_matrix(x), as_matrix(w), {}, as_matrix(y)); }) ==
        "linear: expected x (tokens, d_in), weight (d_out, d_in), y (tokens, d_out), got (3, 4), (5, 4), (3, 6)");
  y = zeros<double>(3, 5);
  const auto bias = zeros<double>(4);
  CHECK(message_of<ShapeError>([&] { linear<double>(as_matrix(x), as_matrix(w), bias, as_matrix(y)); }) ==
        "bias: expected 5 values, got 4");
}
