/// \file tensor.hpp
/// \brief The tensors of the book: xtensor behind one alias, whichever release is installed.
#pragma once

#if __has_include(<xtensor/containers/xtensor.hpp>)  // 0.26 and later: headers in sub-folders
#include <xtensor/containers/xtensor.hpp>
#include <xtensor/core/xmath.hpp>
#include <xtensor/generators/xbuilder.hpp>
#include <xtensor/views/xview.hpp>
#else  // 0.24, Debian 12's
#include <xtensor/xbuilder.hpp>
#include <xtensor/xmath.hpp>
#include <xtensor/xtensor.hpp>
#include <xtensor/xview.hpp>
#endif

#include <array>
#include <cstddef>

/// \brief The library of the book: state space duality, the Mamba-2 block and its language model.
namespace mamba2 {

/// \brief A dense tensor of `N` axes, row-major: the last index runs fastest.
/// \tparam Real float or double
/// \tparam N    number of axes; part of the type, so that the compiler sees a forgotten axis
///
/// Sizes are written in the order of the axes, outermost first, as in (batch, seqlen, nheads, headdim).
///
/// \warning An expression whose number of axes is known only when the program runs, such as an `xt::xarray`, has to go through
/// to_tensor(): where it has more axes than the tensor, releases of xtensor write past the tensor's end.
template <class Real, std::size_t N>
using Tensor = xt::xtensor<Real, N, xt::layout_type::row_major>;

/// \brief A tensor of zeros.
/// \tparam Real float or double
/// \param sizes the length of each axis, as in `zeros<float>(seqlen, d_state)`
/// \return a tensor of that shape
template <class Real, class... Sizes>
Tensor<Real, sizeof...(Sizes)> zeros(Sizes... sizes) {
  const std::array<std::size_t, sizeof...(Sizes)> shape{static_cast<std::size_t>(sizes)...};
  return Tensor<Real, sizeof...(Sizes)>(shape, Real(0));
}

}  // namespace mamba2
