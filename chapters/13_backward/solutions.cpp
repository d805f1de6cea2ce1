// Our solutions.
#include "exercises.hpp"

#include <cmath>

namespace exercises {

//: 1
double slope(double x) {
  return 1 / (1 + std::exp(-x));
}
//: end

}  // namespace exercises
