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

// An expectation that did not hold; the text is for the reader.
class Failed : public std::exception {
 public:
  explicit Failed(std::string text) : text_(std::move(text)) {}
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
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

// A number as the reader wants to see it: short where it is short, in full where it is not.
template <class T>
std::string number_text(T value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else {
    if constexpr (std::is_floating_point_v<T>)
      if (std::isnan(value)) return "NaN, not a number";  // without its sign, which says nothing
    std::ostringstream text;
    text.precision(10);
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
                            : std::to_string(differ) + " of " + std::to_string(n) + " values differ"));
}

}  // namespace detail

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
  throw Failed("compared:   " + what + "\nexpected:   " + detail::number_text(expected) +
               "\nyours:      " + detail::number_text(yours));
}

// Two texts are equal.
inline void expect_equal(const std::string& yours, const std::string& expected, const std::string& what) {
  if (yours == expected) return;
  const std::size_t first = static_cast<std::size_t>(
      std::mismatch(yours.begin(), yours.end(), expected.begin(), expected.end()).first - yours.begin());
  throw Failed("compared:   " + what + "\nexpected:   \"" + expected + "\"\nyours:      \"" + yours +
               "\"\nfirst difference at byte " + std::to_string(first));
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
