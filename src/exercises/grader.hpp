// The grader of the exercises: what a chapter's exercises_test.cpp is written in.
//
//   GRADE(2, "pass the state from chunk to chunk") {
//     const auto yours = exercises::pass_state(...);
//     grader::expect_close(yours, expected, "state after the last chunk");
//   }
//
// The same grader is linked with the reader's file, with the stub and with the solution. Each GRADE runs in a process of its
// own with a time limit, so that whatever the reader wrote, the verdict comes in words.
#pragma once

#include <exercises/not_implemented.hpp>
#include <mamba2/error.hpp>
#include <mamba2/tensor.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <exception>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

namespace grader {

// An expectation that did not hold; the text is for the reader. The mark, where there is one, tells the numbers that came from
// those that another mistake gives: see mark_of().
class Failed : public std::exception {
 public:
  explicit Failed(std::string text, std::string mark = "") : text_(std::move(text)), mark_(std::move(mark)) {}
  const char* what() const noexcept override { return text_.c_str(); }
  const std::string& mark() const { return mark_; }

 private:
  std::string text_, mark_;
};

struct Case {
  int exercise;       // 2
  const char* title;  // "pass the state from chunk to chunk"
  const char* file;   // the grader's own: chapters/04_chunked_scan/exercises_test.cpp; the reader's lies beside it
  void (*run)();
};

// Called before main() by GRADE.
bool add(const Case& graded);

// Something to show for the work: printed below the verdict of an exercise that is passed. The last case of the exercise says it.
void show(const std::string& text);

// What the verdict says if the time is over before this case is: "right so far, but ...".
void if_too_slow(const std::string& text);

namespace detail {

// In the process of the exercise: the text of what given() was given.
void remember_given(const std::string& text);

// What the numbers of an answer are known by again: the comparison, the first element that is wrong, all of them in one sum to
// six digits, in which nothing cancels. Nothing where the numbers say too little: none but zeros, infinities and NaNs.
std::string mark_of(const std::string& what, std::size_t first, const std::vector<double>& values);

// A number as the reader wants to see it: short where it is short, in full where it is not.
template <class T>
std::string number_text(T value, int digits = 10) {
  if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else {
    if constexpr (std::is_floating_point_v<T>)
      if (std::isnan(value)) return "NaN, not a number";  // without its sign, which says nothing
    std::ostringstream text;
    text.precision(digits);
    text << value;
    return text.str();
  }
}

template <class T>
bool close(T yours, T expected, double tolerance) {
  if constexpr (std::is_floating_point_v<T>) {
    if (yours == expected) return true;  // infinities too
    if (std::isnan(expected)) return std::isnan(yours);
    const double difference = std::abs(static_cast<double>(yours) - static_cast<double>(expected));
    return difference <= tolerance * std::max(1.0, std::abs(static_cast<double>(expected)));  // false for NaN
  } else {
    return yours == expected;
  }
}

// The indices of the element that lies `offset` elements after the first, last index fastest.
template <class Shape>
std::string index_text(std::size_t offset, const Shape& shape) {
  std::vector<std::size_t> index(shape.size());
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    index[axis] = offset % shape[axis];
    offset /= shape[axis];
  }
  return mamba2::shape_text(index);
}

// A tensor as C++ writes it, {{1, 2}, {3, 4}}, a line for each row: its elements from *next on, which moves on behind them.
template <class T, class Shape>
std::string braces(const T*& next, const Shape& shape, std::size_t axis = 0) {
  std::string text = "{";
  for (std::size_t i = 0; i < shape[axis]; ++i) {
    if (i > 0) text += axis == 0 && shape.size() > 1 ? ",\n " : ", ";
    if (axis + 1 < shape.size())
      text += braces(next, shape, axis + 1);
    else
      text += number_text(*next++, 6);
  }
  return text + "}";
}

// A value as a reader can copy it: a small tensor whole, of a large one the shape.
template <class T>
std::string value_text(const T& value) {
  constexpr std::size_t small = 24;
  if constexpr (std::is_arithmetic_v<T>) {
    return number_text(value);
  } else if constexpr (std::is_convertible_v<T, std::string>) {
    return "\"" + std::string(value) + "\"";
  } else {
    std::vector<std::size_t> shape;
    if constexpr (requires { value.shape(); })
      shape.assign(value.shape().begin(), value.shape().end());
    else
      shape.push_back(value.size());
    if (value.size() > small) return "of shape " + mamba2::shape_text(shape);
    const auto* next = value.data();
    return braces(next, shape);
  }
}

// Compares n elements; throws Failed with the first that differs.
template <class T, class Shape>
void compare(const T* yours, const T* expected, std::size_t n, const Shape& shape, const std::string& what,
             double tolerance) {
  std::size_t first = n, differ = 0;
  for (std::size_t i = 0; i < n; ++i) {
    if (close(yours[i], expected[i], tolerance)) continue;
    if (differ++ == 0) first = i;
  }
  if (differ == 0) return;
  throw Failed("compared:   " + what + ", shape " + mamba2::shape_text(shape) + "\nfirst difference at index " +
                   index_text(first, shape) + "\nexpected:   " + number_text(expected[first]) +
                   "\nyours:      " + number_text(yours[first]) + "\n" +
                   (differ == n ? "all " + std::to_string(n) + " values differ"
                                : std::to_string(differ) + " of " + std::to_string(n) + " values differ"),
               mark_of(what, first, std::vector<double>(yours, yours + n)));
}

}  // namespace detail

// The inputs of the comparisons that follow, given("x", x, "A", A): a verdict shows them, so that it can be followed by hand.
template <class... Named>
void given(const Named&... named) {
  std::string text, name;
  const auto add = [&](const auto& each) {
    if constexpr (std::is_convertible_v<decltype(each), const char*>) {
      name = each;
    } else {
      const std::string value = detail::value_text(each);
      text += name + (value.starts_with("of shape") ? " " : " = ");
      for (const char c : value) text += c == '\n' ? c + std::string(name.size() + 3, ' ') : std::string(1, c);
      text += "\n";
    }
  };
  (add(named), ...);
  detail::remember_given(text);
}

// Two tensors are equal: first their shapes, then their values, each within tolerance * max(1, |expected|).
template <class T, std::size_t N>
void expect_close(const mamba2::Tensor<T, N>& yours, const mamba2::Tensor<T, N>& expected, const std::string& what,
                  double tolerance = 1e-9) {
  if (yours.shape() != expected.shape())
    throw Failed("compared:   " + what + "\nthe shape is wrong" + "\nexpected:   " +
                 mamba2::shape_text(expected.shape()) + "\nyours:      " + mamba2::shape_text(yours.shape()));
  detail::compare(yours.data(), expected.data(), expected.size(), expected.shape(), what, tolerance);
}

template <class T>
void expect_close(const std::vector<T>& yours, const std::vector<T>& expected, const std::string& what,
                  double tolerance = 1e-9) {
  const std::array<std::size_t, 1> shape{expected.size()};
  if (yours.size() != expected.size())
    throw Failed("compared:   " + what + "\nthe length is wrong" + "\nexpected:   " + std::to_string(expected.size()) +
                 "\nyours:      " + std::to_string(yours.size()));
  detail::compare(yours.data(), expected.data(), expected.size(), shape, what, tolerance);
}

// Two numbers are equal within tolerance * max(1, |expected|); whole numbers exactly.
template <class Yours, class Expected>
  requires std::is_arithmetic_v<Yours> && std::is_arithmetic_v<Expected>
void expect_close(Yours yours, Expected expected, const std::string& what, double tolerance = 1e-9) {
  using T = std::common_type_t<Yours, Expected>;
  if (detail::close(static_cast<T>(yours), static_cast<T>(expected), tolerance)) return;
  std::string mark;
  if constexpr (!std::is_same_v<T, bool>) mark = detail::mark_of(what, 0, {static_cast<double>(yours)});
  throw Failed("compared:   " + what + "\nexpected:   " + detail::number_text(expected) +
                   "\nyours:      " + detail::number_text(yours),
               mark);
}

// Two texts are equal.
inline void expect_equal(const std::string& yours, const std::string& expected, const std::string& what) {
  if (yours == expected) return;
  const std::size_t first = static_cast<std::size_t>(
      std::mismatch(yours.begin(), yours.end(), expected.begin(), expected.end()).first - yours.begin());
  throw Failed("compared:   " + what + "\nexpected:   \"" + expected + "\"\nyours:      \"" + yours +
                   "\"\nfirst difference at byte " + std::to_string(first),
               detail::mark_of(what, first, std::vector<double>(yours.begin(), yours.end())));
}

// A property holds; if not, the message tells the reader which failed.
inline void expect(bool ok, const std::string& message) {
  if (!ok) throw Failed(message);
}

// The call throws an Exception.
template <class Exception, class Call>
void expect_throws(Call&& call, const std::string& message) {
  try {
    call();
  } catch (const exercises::NotImplemented&) {
    throw;
  } catch (const Exception&) {
    return;
  } catch (const std::exception& other) {
    throw Failed(message + "\nan exception came, but of another type: " + other.what());
  }
  throw Failed(message + "\nno exception came");
}

}  // namespace grader

#define GRADER_JOIN_(a, b) a##b
#define GRADER_JOIN(a, b) GRADER_JOIN_(a, b)
// Grades one exercise. Several of the same number are graded in their order, up to the first that fails; what follows a colon
// in their titles tells them apart: GRADE(2, "pass the state: one chunk").
#define GRADE(exercise, title)                                                 \
  static void GRADER_JOIN(grade_, __LINE__)();                                 \
  [[maybe_unused]] static const bool GRADER_JOIN(graded_, __LINE__) =          \
      grader::add({exercise, title, __FILE__, GRADER_JOIN(grade_, __LINE__)}); \
  static void GRADER_JOIN(grade_, __LINE__)()
