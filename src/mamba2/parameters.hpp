/// \file parameters.hpp
/// \brief What there is to say of a parameter, said once, and one walk over any number of sets. Explained in @chapter{mamba2_block}.
#pragma once

#include <mamba2/error.hpp>
#include <mamba2/random.hpp>
#include <mamba2/tensor.hpp>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

namespace mamba2 {

/// \brief Neighbours along an axis that belong together: heads, groups or single channels.
struct Section {
  std::size_t units;      ///< how many heads, groups or channels
  std::size_t width = 1;  ///< places along the axis that each of them has
};

/// \brief How a parameter splits over machines, each of which computes some of the heads.
struct Split {
  /// \brief The ways.
  enum class How {
    replicated,  ///< every machine has all of it
    cut,         ///< along an axis
    added_once   ///< like a bias behind a sum over machines: one machine has it, for the others it is zero
  };
  How how = How::replicated;           ///< which way
  std::size_t axis = 0;                ///< where it is cut
  std::vector<Section> sections = {};  ///< what lies along that axis, one after the other; each is cut by itself
};

/// \brief What a parameter does, as far as others need to know.
enum class Role {
  weight,         ///< the matrix of a linear layer
  output_weight,  ///< the same, and what it gives is added to the residual stream
  bias,           ///< of a linear layer
  other           ///< anything else
};

/// \brief A first value of a parameter. \param random where numbers come from \param i index, the last axis running fastest
using Initial = std::function<double(Random& random, std::size_t i)>;

/// \brief Every first value is the same. \param value which \return what to use as ParameterInfo::initial
inline Initial constant(double value) {
  return [value](Random&, std::size_t) { return value; };
}
/// \brief First values are drawn evenly. \param bound from [-bound, bound) \return what to use as ParameterInfo::initial
inline Initial evenly(double bound) {
  return [bound](Random& random, std::size_t) { return random.uniform(-bound, bound); };
}

//: info
/// \brief All there is to say of a parameter without its numbers.
struct ParameterInfo {
  std::string name;                ///< as in checkpoints of the reference
  std::vector<std::size_t> shape;  ///< outermost axis first; with a 0 where the configuration does without it
  std::string axes;                ///< what the axes mean, such as "(d_in_proj, d_model)"
  Role role = Role::other;         ///< what it does
  bool decays = false;             ///< whether weight decay touches it in training
  Split split = {};                ///< how it splits over machines
  Initial initial = constant(0);   ///< what it starts from

  /// \brief Whether the configuration has it at all. \return false for a 0 in the shape
  bool present() const { return std::find(shape.begin(), shape.end(), 0U) == shape.end(); }
  /// \brief How many numbers it has. \return the product of the shape, which must fit
  std::size_t size() const {
    std::size_t product = 1;
    for (const std::size_t extent : shape) product *= extent;
    return product;
  }
};
//: end

/// \brief The parameters of something, without their numbers.
/// \param sizes anything with a describe(sizes), such as a Mamba2Config
/// \return those that are there, in the order of a checkpoint
template <class Sizes>
std::vector<ParameterInfo> parameter_list(const Sizes& sizes) {
  std::vector<ParameterInfo> list = describe(sizes);
  std::erase_if(list, [](const ParameterInfo& info) { return !info.present(); });
  return list;
}

/// \brief The numbers of a set of parameters.
/// \param set such as Mamba2Parameters; const where they are only read
/// \return a span for each tensor that is not empty, in the order of a checkpoint
template <class Set>
auto parameter_spans(Set& set) {
  using Value = typename Set::value_type;
  std::vector<std::span<std::conditional_t<std::is_const_v<Set>, const Value, Value>>> spans;
  const auto add = [&](auto& tensor) {
    if (tensor.size() > 0) spans.emplace_back(tensor.data(), tensor.size());
  };
  std::apply([&](auto&... tensors) { (add(tensors), ...); }, Set::tensors(set));
  return spans;
}

/// \brief Walk in step over any number of sets: each parameter is shown once, with its numbers in every set.
/// \param list  the parameters
/// \param visit called as visit(info, spans...), one span for each set, in their order
/// \param spans the numbers of each set, as parameter_spans() gives them; the types of the numbers may differ
/// \throws ShapeError naming the parameter that has another number of numbers in one of the sets
template <class Visitor, class... Values>
void walk_spans(const std::vector<ParameterInfo>& list, Visitor&& visit,
                const std::vector<std::span<Values>>&... spans) {
  if (((spans.size() != list.size()) || ...))
    throw ShapeError("parameters: expected " + std::to_string(list.size()) + " in each set, got another number");
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (((spans[i].size() != list[i].size()) || ...))
      throw ShapeError(list[i].name + ": expected shape " + list[i].axes + " = " + shape_text(list[i].shape) +
                       ", got another number of numbers");
    visit(list[i], spans[i]...);
  }
}

//: walk
/// \brief Walk in step over any number of sets of parameters.
/// \param sizes what describes them, such as a Mamba2Config
/// \param visit called as visit(info, spans...) for each parameter, one span of its numbers for each set, in their order
/// \param sets  parameters, gradients, moments ...: const or not, of float or double
/// \throws ShapeError naming a parameter that has another number of numbers in one of the sets
template <class Sizes, class Visitor, class... Sets>
void walk(const Sizes& sizes, Visitor&& visit, Sets&... sets) {
  walk_spans(parameter_list(sizes), visit, parameter_spans(sets)...);
}
//: end

/// \brief Visit each tensor of a set beside what there is to say of it, those that are not there included.
/// \param sizes what describes the set
/// \param set   such as Mamba2Parameters
/// \param visit called as visit(info, tensor); takes tensors of any rank
template <class Sizes, class Set, class Visitor>
void with_tensors(const Sizes& sizes, Set& set, Visitor&& visit) {
  const std::vector<ParameterInfo> list = describe(sizes);
  std::size_t next = 0;
  std::apply([&](auto&... tensors) { (visit(list.at(next++), tensors), ...); }, Set::tensors(set));
}

/// \brief Give every parameter the shape that the sizes ask for, all zero.
/// \param sizes what describes the set
/// \param set   receives the tensors
template <class Sizes, class Set>
void set_zero(const Sizes& sizes, Set& set) {
  with_tensors(sizes, set, [](const ParameterInfo& info, auto& tensor) {
    auto shape = tensor.shape();
    std::copy_n(info.shape.begin(), shape.size(), shape.begin());
    tensor = std::decay_t<decltype(tensor)>(shape, typename Set::value_type(0));
  });
}

/// \brief Refuse parameters of other shapes.
/// \param sizes what describes the set
/// \param set   parameters
/// \throws ShapeError "A_log: expected shape (nheads) = (24), got (25)"
template <class Sizes, class Set>
void check_shapes(const Sizes& sizes, const Set& set) {
  with_tensors(sizes, set, [](const ParameterInfo& info, const auto& tensor) {
    const auto& got = tensor.shape();
    if (!std::equal(got.begin(), got.end(), info.shape.begin(), info.shape.end()))
      throw ShapeError(info.name + ": expected shape " + (info.present() ? info.axes : "(none)") + " = " +
                       shape_text(info.shape) + ", got " + shape_text(got));
  });
}

/// \brief Draw first values.
/// \param info   of the parameter
/// \param random where the numbers come from
/// \param values receives them
template <class Real>
void draw(const ParameterInfo& info, Random& random, std::span<Real> values) {
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<Real>(info.initial(random, i));
}

/// \brief The part of a parameter that one of several machines has.
/// \param info  of the whole parameter
/// \param whole its numbers
/// \param index of the machine, from 0
/// \param count how many there are
/// \param part  receives the machine's numbers
/// \throws ShapeError if that is another number of numbers
/// \throws ValueError for units that cannot be dealt out to so many: neither number divides the other
///
/// Heads and groups are dealt out in order. Where there are fewer groups than machines, neighbours have the same one.
template <class Real>
void take_part(const ParameterInfo& info, std::span<const Real> whole, std::size_t index, std::size_t count,
               std::span<Real> part);

}  // namespace mamba2
