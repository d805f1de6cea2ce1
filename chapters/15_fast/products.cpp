// ### Two libraries for products {#fast_products}
//
// Most of a prompt's time goes into ordinary products, and those are bought, not made. BLAS has
// been with us since @chapter{duality}. oneDNN is another library, made for neural networks: it
// writes its inner loops in machine code at run time, for the processor and the sizes that it
// finds. Large ones, as of the projections, per second and in one thread:
//
// @measured products
//
// So products of the projections go to oneDNN where it is installed. The many small ones of the
// scan stay with BLAS, which begins faster.
//
// @quote src/mamba2/onednn.hpp#onednn

#include <mamba2/onednn.hpp>
#include <mamba2/products.hpp>

#include <algorithm>
#include <type_traits>

namespace mamba2 {

template <class Real>
void product(MatrixRef<const Real> x, MatrixRef<const Real> weight, MatrixRef<Real> y) {
  if (!has_work(x, weight, y)) return;
#ifdef MAMBA2_ONEDNN
  if constexpr (std::is_same_v<Real, float>) {
    constexpr auto f32 = onednn::memory::data_type::f32;
    return onednn::multiply(onednn::matrix(x, f32), onednn::matrix(transpose(weight), f32), y);
  }
#endif
  const OneThread one_thread;
  multiply<Real>(x, transpose(weight), 0, y);
}

template void product(MatrixRef<const float>, MatrixRef<const float>, MatrixRef<float>);
template void product(MatrixRef<const double>, MatrixRef<const double>, MatrixRef<double>);

}  // namespace mamba2
