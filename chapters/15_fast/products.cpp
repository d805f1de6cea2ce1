// ### Two libraries for products {#fast_products}
//
// Most of a prompt's time goes into ordinary products, and those are bought, not made. BLAS has
// been with us since @chapter{duality}. oneDNN is another library, made for neural networks: it
// writes its inner loops in machine code at run time, for the processor and the sizes that it
// finds. And it has products of types that the interface of BLAS has no name for. Large ones, as of
// the projections, per second:
//
// @measured products
//
// Where the last line is about twice the second, there is an instruction behind it that takes
// numbers in bfloat16, multiplies them in pairs and adds the products up in float, twice as many at
// once as there are floats in a register. It wants *both* factors in bfloat16. So where weights are
// kept in two bytes or one, and there are more than a few tokens, the tokens are rounded as well:
// to eight bits, before each product. Processors without that instruction widen the weights to
// floats instead, and round nothing more.
//
// So products of the projections go to oneDNN where it is installed. The many small ones of the
// scan stay with BLAS, which begins faster.

#include <mamba2/kernels.hpp>
#include <mamba2/parallel.hpp>
#include <mamba2/products.hpp>

#include <algorithm>
#include <string_view>
#include <type_traits>

#ifdef MAMBA2_ONEDNN
#include <oneapi/dnnl/dnnl.hpp>
#endif

namespace mamba2 {

#ifdef MAMBA2_ONEDNN
namespace {

using dnnl::memory;

const dnnl::engine& processor() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

// A matrix of ours, perhaps turned round, as one of oneDNN's: nothing is copied.
template <class T>
memory of_onednn(Factor<T> m, memory::data_type type) {
  const auto number = [](std::size_t n) { return static_cast<memory::dim>(n); };
  const memory::dim stride = number(m.stored.stride);
  const memory::dims shape{number(m.rows()), number(m.columns())};
  const memory::dims strides = m.transposed ? memory::dims{1, stride} : memory::dims{stride, 1};
  return {{shape, type, strides}, processor(), const_cast<T*>(m.stored.data)};
}
template <class T>
memory of_onednn(MatrixRef<T> m, memory::data_type type) {
  return of_onednn(Factor<std::remove_const_t<T>>(m), type);
}

void multiply_by_onednn(memory x, memory weight, memory y) {
  const OneThread one_thread;
  dnnl::stream stream(processor());
#if DNNL_VERSION_MAJOR >= 3
  const dnnl::matmul::primitive_desc how(processor(), x.get_desc(), weight.get_desc(), y.get_desc());
#else
  const dnnl::matmul::primitive_desc how({x.get_desc(), weight.get_desc(), y.get_desc()}, processor());
#endif
  dnnl::matmul(how).execute(stream, {{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, weight}, {DNNL_ARG_DST, y}});
  stream.wait();
}

Tensor<bfloat16_bits, 2> rounded(MatrixRef<const float> x) {
  const OneThread one_thread;
  auto narrow = Tensor<bfloat16_bits, 2>::from_shape({x.rows, x.columns});
  memory from = of_onednn(x, memory::data_type::f32),
         to = of_onednn(as_matrix(narrow), memory::data_type::bf16);
  dnnl::stream stream(processor());
  dnnl::reorder(from, to).execute(stream, from, to);
  stream.wait();
  return narrow;
}

void multiply_rounded(const Tensor<bfloat16_bits, 2>& x, MatrixRef<const bfloat16_bits> weight,
                      MatrixRef<float> y) {
  constexpr auto bf16 = memory::data_type::bf16;
  multiply_by_onednn(of_onednn(as_matrix(x), bf16), of_onednn(transpose(weight), bf16),
                     of_onednn(y, memory::data_type::f32));
}

}  // namespace

bool multiplies_bfloat16() {
  static const bool has = (static_cast<int>(dnnl::get_effective_cpu_isa()) &
                           dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
  return has && kernels<float>().instruction_set == std::string_view("x86_64_v4");
}
#else
bool multiplies_bfloat16() {
  return false;
}
#endif

namespace {

// Checks the sizes. Whether there is anything to multiply; a sum over nothing is 0.
template <class Real, class Weight>
bool has_work(MatrixRef<const Real> x, MatrixRef<const Weight> weight, MatrixRef<Real> y) {
  require_size("weight", weight, {y.columns, x.columns}, "(d_out, d_in)");
  require_size("y", y, {x.rows, weight.rows}, "(tokens, d_out)");
  if (x.columns == 0)
    for (std::size_t i = 0; i < y.rows; ++i) std::fill_n(y[i], y.columns, Real(0));
  return x.rows > 0 && x.columns > 0 && weight.rows > 0;
}

// Weights of fewer bytes, where nothing multiplies them as they are: about a megabyte of them at a
// time is widened, and multiplied while it is close by.
template <class Wide, class Real, class Weight, class Product>
void by_widened_blocks(MatrixRef<const Weight> weight, MatrixRef<Real> y,
                       void (*widen)(const Weight*, Wide*, std::size_t), const Product& product) {
  const std::size_t block =
      std::clamp<std::size_t>((1 << 20) / sizeof(Wide) / weight.columns, 1, weight.rows);
  auto wide = Tensor<Wide, 2>::from_shape({block, weight.columns});
  for (std::size_t first = 0; first < weight.rows; first += block) {
    const std::size_t rows = std::min(block, weight.rows - first);
    for (std::size_t r = 0; r < rows; ++r) widen(weight[first + r], &wide(r, 0), weight.columns);
    product(MatrixRef<const Wide>{wide.data(), rows, weight.columns, weight.columns},
            column_block(y, first, rows));
  }
}

}  // namespace

template <class Real>
void product(MatrixRef<const Real> x, MatrixRef<const Real> weight, MatrixRef<Real> y) {
  if (!has_work(x, weight, y)) return;
#ifdef MAMBA2_ONEDNN
  if constexpr (std::is_same_v<Real, float>) {
    constexpr auto f32 = memory::data_type::f32;
    return multiply_by_onednn(of_onednn(x, f32), of_onednn(transpose(weight), f32), of_onednn(y, f32));
  }
#endif
  multiply<Real>(x, transpose(weight), 0, y);
}

template <class Real>
void product(MatrixRef<const Real> x, MatrixRef<const bfloat16_bits> weight, MatrixRef<Real> y) {
  if (!has_work(x, weight, y)) return;
#ifdef MAMBA2_ONEDNN
  if constexpr (std::is_same_v<Real, float>)
    if (multiplies_bfloat16()) return multiply_rounded(rounded(x), weight, y);
#endif
  by_widened_blocks<Real>(weight, y, kernels<Real>().widen_bfloat16,
                          [&](MatrixRef<const Real> W, MatrixRef<Real> out) { product(x, W, out); });
}

// Whole numbers up to 127 have seven bits, and bfloat16 has eight: where there are instructions for
// it, weights of one byte are widened to that, exactly.

template <class Real>
void product(MatrixRef<const Real> x, MatrixRef<const std::int8_t> weight, MatrixRef<Real> y) {
  if (!has_work(x, weight, y)) return;
#ifdef MAMBA2_ONEDNN
  if constexpr (std::is_same_v<Real, float>)
    if (multiplies_bfloat16()) {
      const Tensor<bfloat16_bits, 2> narrow = rounded(x);
      return by_widened_blocks<bfloat16_bits>(
          weight, y, kernels<float>().int8_to_bfloat16,
          [&](auto W, MatrixRef<float> out) { multiply_rounded(narrow, W, out); });
    }
#endif
  by_widened_blocks<Real>(weight, y, kernels<Real>().widen_int8,
                          [&](MatrixRef<const Real> W, MatrixRef<Real> out) { product(x, W, out); });
}

template void product(MatrixRef<const float>, MatrixRef<const float>, MatrixRef<float>);
template void product(MatrixRef<const double>, MatrixRef<const double>, MatrixRef<double>);
template void product(MatrixRef<const float>, MatrixRef<const bfloat16_bits>, MatrixRef<float>);
template void product(MatrixRef<const double>, MatrixRef<const bfloat16_bits>, MatrixRef<double>);
template void product(MatrixRef<const float>, MatrixRef<const std::int8_t>, MatrixRef<float>);
template void product(MatrixRef<const double>, MatrixRef<const std::int8_t>, MatrixRef<double>);

}  // namespace mamba2
