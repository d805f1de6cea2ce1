// ## Every option and its default {#mamba2_block_config}
//
// All that may be chosen about a block, under the names of the reference; the defaults are those of
// the published models:
//
// @quote src/mamba2/block.hpp#config
//
// Sizes come from files that somebody wrote. A wrong one should be refused where it is read, with
// the name of the field and what it may be, not crash three functions later. What can be wrong? A
// size of zero; heads that do not divide the channels; groups that do not divide the heads; ranges
// the wrong way round; numbers that are none.
//
// @output refused

#include <mamba2/block.hpp>
#include <mamba2/error.hpp>
#include <mamba2/selection.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <sstream>
#include <string>
#include <utility>

// To say what is wrong takes some words, always the same:

//: fold Words for what is wrong
namespace mamba2 {
namespace {

std::string text(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

void positive(const char* field, std::size_t value) {
  require(value > 0, field, "at least 1", std::to_string(value));
}

void divides(const char* field, std::size_t part, const std::string& whole_name, std::size_t whole) {
  require(part > 0 && whole % part == 0, field,
          "a divisor of " + whole_name + " = " + std::to_string(whole), std::to_string(part));
}

/// Written so that NaN is refused: every comparison with it is false.
void at_least(const char* field, double value, double least, const std::string& least_name = "") {
  require(value >= least, field, "at least " + least_name + text(least), text(value));
}

void above_zero(const char* field, double value) {
  require(value > 0, field, "above 0", text(value));
  require(std::isfinite(value), field, "a finite number", text(value));
}

}  // namespace

// With these few words, the check reads like a list:

void Mamba2Config::check() const {
  positive("d_model", d_model);
  positive("d_state", d_state);
  positive("d_conv", d_conv);
  positive("expand", expand);
  positive("headdim", headdim);
  positive("chunk_size", chunk_size);
  const std::size_t d_inner = expand * d_model, channels = d_ssm == 0 ? d_inner : d_ssm;
  require(d_ssm <= d_inner, "d_ssm", "at most d_inner = expand * d_model = " + std::to_string(d_inner),
          std::to_string(d_ssm));
  divides("headdim", headdim, "the channels of the scan", channels);
  divides("ngroups", ngroups, "the number of heads", channels / headdim);
  above_zero("A_init_min", A_init_min);
  above_zero("A_init_max", A_init_max);
  at_least("A_init_max", A_init_max, A_init_min, "A_init_min = ");
  above_zero("dt_min", dt_min);
  above_zero("dt_max", dt_max);
  at_least("dt_max", dt_max, dt_min, "dt_min = ");
  at_least("dt_init_floor", dt_init_floor, 0);
  at_least("conv_init", conv_init, 0);
  at_least("dt_limit_min", dt_limit_min, 0);
  at_least("dt_limit_max", dt_limit_max, dt_limit_min, "dt_limit_min = ");
  at_least("norm_eps", norm_eps, 0);
}

// Where all is well, the sizes follow. The last three are sums of the others:

Mamba2Sizes::Mamba2Sizes(const Mamba2Config& c) : config(c) {
  c.check();
  d_model = c.d_model;
  d_inner = c.expand * c.d_model;
  d_ssm = c.d_ssm == 0 ? d_inner : c.d_ssm;
  d_mlp = d_inner - d_ssm;
  headdim = c.headdim;
  nheads = d_ssm / headdim;
  ngroups = c.ngroups;
  d_state = c.d_state;
  d_conv = c.d_conv;
  add_up();
}

void Mamba2Sizes::add_up() {
  d_bc = ngroups * d_state;
  conv_dim = d_ssm + 2 * d_bc;
  d_in_proj = 2 * d_mlp + d_ssm + conv_dim + nheads;
}

// Why are sizes not simply functions of the options? Heads do not talk to each other between the
// two projections. So a block can be *split*: each of several machines has some of the heads, with
// the groups that those need, and what they give at the end is added up. Such a part is not a block
// with other options, as no `expand` says "a quarter". But it has sizes.

//: fold Sizes of a part
Mamba2Sizes part_of(const Mamba2Sizes& whole, std::size_t count) {
  const std::string parts = " in " + std::to_string(count) + " parts";
  require(count > 0 && whole.nheads % count == 0, "nheads", "a number that can be dealt out" + parts,
          std::to_string(whole.nheads));
  require(whole.d_mlp % count == 0, "d_mlp", "a number that can be dealt out" + parts,
          std::to_string(whole.d_mlp));
  require(whole.ngroups % count == 0 || count % whole.ngroups == 0, "ngroups",
          "a number that can be dealt out or shared" + parts, std::to_string(whole.ngroups));
  Mamba2Sizes part = whole;
  part.nheads /= count;
  part.d_mlp /= count;
  part.d_ssm /= count;
  part.d_inner /= count;
  part.ngroups = std::max<std::size_t>(1, part.ngroups / count);
  part.add_up();
  return part;
}

// ## Parameters with names {#mamba2_block_parameters}
//
// The parameters are a plain struct of tensors, mamba2::Mamba2Parameters. Each has the shape that a
// checkpoint stores, even where that is odd: `conv1d.weight` has an axis of length one in the
// middle, because PyTorch's convolution wants one. A parameter that the configuration does without
// is empty.
//
// Many will want to know something of these tensors. Whoever loads a checkpoint wants their names.
// Whoever checks it wants their shapes. Fresh ones need first values. An optimiser pulls some of
// them towards zero and spares others. A model that is split over machines needs to know which axis
// to cut, and where. So for each parameter all of that is said once, in one place:
//
// @quote src/mamba2/parameters.hpp#info
//
// Which axis to cut? The rows of the input projection make z0, x0, z, x, B, C and dt. A machine
// that has the second half of the heads needs the second half of each of these *sections*, except
// that $B$ and $C$ belong to groups. So an axis is a list of sections, and each is cut by itself.
// The output projection is cut by columns, the channels that it reads, and its bias must be added
// by one machine only.
//
// Now the description of a block's parameters, in the order of a checkpoint. First, what belongs to
// heads: pace, whose first values come from @chapter{selection}, and the skip, which starts at one.
// None of them decays. They are no weights: `A_log = 0` is no neutral value, it is the rate $-1$.

namespace {

double root(std::size_t n) {
  return 1 / std::sqrt(static_cast<double>(n));
}

std::vector<ParameterInfo> describe_heads(const Mamba2Sizes& s) {
  const Mamba2Config& c = s.config;
  const Split by_head{Split::How::cut, 0, {{s.nheads}}};
  const Split by_channel{Split::How::cut, 0, {{s.nheads, s.headdim}}};
  const Initial step_size = [c](Random& random, std::size_t) {
    return initial_dt_bias(c.dt_min, c.dt_max, c.dt_init_floor, random);
  };
  const Initial rate = [c](Random& random, std::size_t) {
    return initial_A_log(c.A_init_min, c.A_init_max, random);
  };
  return {{.name = "dt_bias",
           .shape = {s.nheads},
           .axes = "(nheads)",
           .split = by_head,
           .initial = step_size},
          {.name = "A_log", .shape = {s.nheads}, .axes = "(nheads)", .split = by_head, .initial = rate},
          {.name = "D",
           .shape = {c.D_has_hdim ? s.d_ssm : s.nheads},
           .axes = c.D_has_hdim ? "(d_ssm)" : "(nheads)",
           .split = c.D_has_hdim ? by_channel : by_head,
           .initial = constant(1)}};
}

// Next, a projection: weight and bias. Both start uniform in $\pm 1/\sqrt{d_{in}}$, which is the
// default of PyTorch's linear layers. (A language model changes that for two of them. It knows its
// number of layers, the block does not; see @chapter{language_model}.) A bias that the
// configuration does without has a shape of 0.

//: fold A projection
std::vector<ParameterInfo> describe_linear(const std::string& name, const std::string& d_out,
                                           const std::string& d_in,
                                           const std::array<std::size_t, 2>& shape, bool bias,
                                           Role role, const Split& weight, const Split& bias_split) {
  return {{.name = name + ".weight",
           .shape = {shape[0], shape[1]},
           .axes = "(" + d_out + ", " + d_in + ")",
           .role = role,
           .decays = true,
           .split = weight,
           .initial = evenly(root(shape[1]))},
          {.name = name + ".bias",
           .shape = {bias ? shape[0] : 0},
           .axes = "(" + d_out + ")",
           .role = Role::bias,
           .split = bias_split,
           .initial = evenly(root(shape[1]))}};
}

// And what lies between the projections: taps, which start uniform in $\pm 1/\sqrt{d_{conv}}$
// unless it is said otherwise, and the weights of the norm.

//: fold Convolution and norm
std::vector<ParameterInfo> describe_middle(const Mamba2Sizes& s) {
  const Mamba2Config& c = s.config;
  const Section scanned{s.nheads, s.headdim}, groups{s.ngroups, s.d_state};
  const Split convolved{Split::How::cut, 0, {scanned, groups, groups}};
  return {{.name = "conv1d.weight",
           .shape = {s.conv_dim, 1, s.d_conv},
           .axes = "(conv_dim, 1, d_conv)",
           .decays = true,
           .split = convolved,
           .initial = evenly(c.conv_init > 0 ? c.conv_init : root(s.d_conv))},
          {.name = "conv1d.bias",
           .shape = {c.conv_bias ? s.conv_dim : 0},
           .axes = "(conv_dim)",
           .split = convolved,
           .initial = evenly(root(s.d_conv))},
          {.name = "norm.weight",
           .shape = {c.rmsnorm ? s.d_ssm : 0},
           .axes = "(d_ssm)",
           .split = {Split::How::cut, 0, {scanned}},
           .initial = constant(1)}};
}

}  // namespace

// All of them together; and here it is settled how the two projections are cut.

//: fold The whole description
std::vector<ParameterInfo> describe(const Mamba2Sizes& s) {
  using enum Split::How;
  const bool bias = s.config.bias;
  const Section past{s.d_mlp}, scanned{s.nheads, s.headdim}, heads{s.nheads};
  const Section groups{s.ngroups, s.d_state};
  const Split rows{cut, 0, {past, past, scanned, scanned, groups, groups, heads}};
  const Split columns{cut, 1, {past, scanned}};
  std::vector<ParameterInfo> list = describe_heads(s);
  const auto add = [&](std::vector<ParameterInfo> more) {
    std::move(more.begin(), more.end(), std::back_inserter(list));
  };
  add(describe_linear("in_proj", "d_in_proj", "d_model", {s.d_in_proj, s.d_model}, bias, Role::weight,
                      rows, rows));
  add(describe_middle(s));
  add(describe_linear("out_proj", "d_model", "d_inner", {s.d_model, s.d_inner}, bias,
                      Role::output_weight, columns, {added_once}));
  return list;
}

// ## One walk {#mamba2_block_walk}
//
// With the description at hand, everything that is done to *all* parameters is a walk over them,
// and the walk is written once. It takes any number of sets, and shows each parameter together with
// its numbers in every set: parameters and gradients, say, or parameters in float and in double.
//
// @quote src/mamba2/parameters.hpp#walk
//
// To make a set in double the copy of one in float, for example:
//
// ```cpp
// const auto copy = [](const ParameterInfo&, std::span<const float> from, std::span<double> to) {
//   std::copy(from.begin(), from.end(), to.begin());
// };
// walk(config, copy, single, exact);
// ```
//
// For some questions no set is needed at all. How many numbers does a block of the 130M model
// learn? The program adds up the description:
//
// @output count
//
// The two projections alone have $6\, d_{model}^2$, as announced, and the rest of the block hardly
// counts.
//
// Zeros, and fresh parameters, are two more walks:

template <class Real>
Mamba2Parameters<Real> zero_parameters(const Mamba2Sizes& sizes) {
  Mamba2Parameters<Real> parameters;
  set_zero(sizes, parameters);
  return parameters;
}

template <class Real>
Mamba2Parameters<Real> initial_parameters(const Mamba2Sizes& sizes, Random& random) {
  auto parameters = zero_parameters<Real>(sizes);
  walk(
      sizes,
      [&](const ParameterInfo& info, std::span<Real> values) { draw<Real>(info, random, values); },
      parameters);
  return parameters;
}

// ## A part for each machine {#mamba2_block_parts}
//
// (This may wait until a model is split over several machines.) A parameter is cut along one axis,
// section by section, and a section is dealt out in whole units: heads or groups or single
// channels. Where there are fewer groups than machines, neighbours have the same group.

//: fold Cutting a parameter
namespace {

struct Range {
  std::size_t first, count;
};

Range units_of(const ParameterInfo& info, std::size_t units, std::size_t index, std::size_t count) {
  if (units % count == 0) return {index * (units / count), units / count};
  require(units > 0 && count % units == 0, info.name.c_str(),
          "sections that can be dealt out in " + std::to_string(count) + " parts",
          std::to_string(units) + " units");
  return {index / (count / units), 1};
}

}  // namespace

template <class Real>
void take_part(const ParameterInfo& info, std::span<const Real> whole, std::size_t index,
               std::size_t count, std::span<Real> part) {
  std::size_t outer = 1, inner = 1;  // how many blocks lie before the axis, how many numbers behind it
  std::vector<Range> places;         // of the axis that this part has
  if (info.split.how == Split::How::cut) {
    for (std::size_t axis = 0; axis < info.shape.size(); ++axis) {
      if (axis < info.split.axis) outer *= info.shape[axis];
      if (axis > info.split.axis) inner *= info.shape[axis];
    }
    std::size_t first = 0;
    for (const auto& [units, width] : info.split.sections) {
      const Range own = units_of(info, units, index, count);
      places.push_back({first + own.first * width, own.count * width});
      first += units * width;
    }
  } else {
    places.push_back({0, info.size()});
  }
  std::size_t size = 0;
  for (const Range& range : places) size += outer * inner * range.count;
  if (part.size() != size)
    throw ShapeError(info.name + ": expected " + std::to_string(size) + " numbers in each of " +
                     std::to_string(count) + " parts, got " + std::to_string(part.size()));
  const std::size_t length = whole.size() / (outer * inner);
  auto out = part.begin();
  for (std::size_t block = 0; block < outer; ++block)
    for (const Range& range : places)
      out = std::copy_n(
          whole.begin() + static_cast<std::ptrdiff_t>((block * length + range.first) * inner),
          range.count * inner, out);
  if (info.split.how == Split::How::added_once && index > 0)
    std::fill(part.begin(), part.end(), Real(0));
}

template Mamba2Parameters<float> zero_parameters(const Mamba2Sizes&);
template Mamba2Parameters<double> zero_parameters(const Mamba2Sizes&);
template Mamba2Parameters<float> initial_parameters(const Mamba2Sizes&, Random&);
template Mamba2Parameters<double> initial_parameters(const Mamba2Sizes&, Random&);
template void take_part(const ParameterInfo&, std::span<const float>, std::size_t, std::size_t,
                        std::span<float>);
template void take_part(const ParameterInfo&, std::span<const double>, std::size_t, std::size_t,
                        std::span<double>);

}  // namespace mamba2
