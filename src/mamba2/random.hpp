/// \file random.hpp
/// \brief Random numbers that are the same on every machine. Explained in @chapter{selection}.
#pragma once

#include <cstdint>

namespace mamba2 {

/// \brief A small generator of random numbers: the same seed gives the same numbers everywhere.
///
/// The generators of the standard library are portable, its distributions are not: two compilers may draw different
/// "uniform" numbers from one seed. This one is complete in a few lines.
class Random {
 public:
  /// \brief A generator.
  /// \param seed any number; the same seed gives the same sequence
  explicit Random(std::uint64_t seed) : state_(seed) {}
  /// \brief 64 random bits.
  /// \return the next number of the sequence
  std::uint64_t bits();
  /// \brief A number drawn evenly from \f$[0, 1)\f$.
  /// \return one of \f$2^{53}\f$ equally likely values
  double uniform();
  /// \brief A number drawn evenly from \f$[low, high)\f$.
  /// \param low  the smallest value
  /// \param high the value that is just not reached
  /// \return the number
  double uniform(double low, double high);
  /// \brief A number drawn from the normal distribution with mean 0 and deviation 1.
  /// \return the number
  double normal();

 private:
  std::uint64_t state_;
};

}  // namespace mamba2
