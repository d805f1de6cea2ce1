// One head of a scan with random inputs.
#pragma once

#include <mamba2/ssm.hpp>
#include <support/testing.hpp>

namespace testing {

template <class Real>
struct Head {
  mamba2::Tensor<Real, 2> X;
  mamba2::Tensor<Real, 1> dA;
  mamba2::Tensor<Real, 2> B, C;

  Head(std::size_t seqlen, std::size_t headdim, std::size_t d_state, double strongest = -2)
      : X(random_tensor<Real, 2>({seqlen, headdim}, 1)),
        dA(random_tensor<Real, 1>({seqlen}, 2, strongest, 0)),
        B(random_tensor<Real, 2>({seqlen, d_state}, 3)),
        C(random_tensor<Real, 2>({seqlen, d_state}, 4)) {}

  mamba2::Tensor<Real, 1> A_bar() const { return xt::exp(dA); }

  // The oracle: one step after the other.
  mamba2::Tensor<Real, 2> recurrent() const { return mamba2::ssm_recurrent<Real>(X, A_bar(), B, C); }
};

}  // namespace testing
