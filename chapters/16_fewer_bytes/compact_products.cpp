// ## Many tokens {#fewer_bytes_products}
//
// A prompt multiplies each weight by hundreds of tokens, and there the arithmetic takes the time,
// not the reading. Some processors have an instruction that takes numbers in bfloat16, multiplies
// them in pairs and adds the products up in float, twice as many at once as there are floats in a
// register. Large products in one thread, per second:
//
// @measured products
//
// Where the second line is about twice the first, that instruction is there. It wants *both*
// factors in bfloat16. So the tokens are rounded as well: to eight bits, before each product.

#include <mamba2/compact_kernels.hpp>
#include <mamba2/compact_products.hpp>
#include <mamba2/onednn.hpp>
#include <mamba2/tensor.hpp>

#include <algorithm>
#include <type_traits>
#include <vector>

namespace mamba2 {

#ifdef MAMBA2_ONEDNN
namespace {

Tensor<bfloat16_bits, 2> rounded(MatrixRef<const float> x) {
  const OneThread one_thread;
  auto narrow = Tensor<bfloat16_bits, 2>::from_shape({x.rows, x.columns});
  onednn::memory from = onednn::matrix(x, onednn::memory::data_type::f32),
                 to = onednn::matrix(as_matrix(narrow), onednn::memory::data_type::bf16);
  dnnl::stream stream(onednn::processor());
  dnnl::reorder(from, to).execute(stream, from, to);
  stream.wait();
  return narrow;
}

void multiply_rounded(const Tensor<bfloat16_bits, 2>& x, MatrixRef<const bfloat16_bits> weight,
                      MatrixRef<float> y) {
  constexpr auto bf16 = onednn::memory::data_type::bf16;
  onednn::multiply(onednn::matrix(as_matrix(x), bf16), onednn::matrix(transpose(weight), bf16), y);
}

}  // namespace

bool multiplies_bfloat16() {
  static const bool has = (static_cast<int>(dnnl::get_effective_cpu_isa()) &
                           dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
  return has && instruction_set() == InstructionSet::x86_64_v4;
}
#else
bool multiplies_bfloat16() {
  return false;
}
#endif

// Processors without it widen the weights to floats, and round nothing more. Widened, a weight is
// as large as ever, and has to be kept somewhere while it is multiplied. A small piece at a time
// would stay in the cache; but at the beginning of each product the library copies the *tokens*
// into an order of its own, and for every piece it would do that again. So a piece is as large as
// 16 MB, which for a 130M model is a whole weight; and its memory is kept by the thread, for new
// memory is slow when it is first touched.

namespace {

constexpr std::size_t piece_bytes = std::size_t{16} << 20;

template <class Wide, class Real, class Weight, class Product>
void by_widened_pieces(MatrixRef<const Weight> weight, MatrixRef<Real> y,
                       void (*widen)(const Weight*, Wide*, std::size_t), const Product& product) {
  const std::size_t columns = weight.columns;
  const std::size_t piece =
      std::clamp<std::size_t>(piece_bytes / sizeof(Wide) / columns, 1, weight.rows);
  thread_local std::vector<Wide> wide;
  if (wide.size() < piece * columns) wide.resize(piece * columns);
  for (std::size_t first = 0; first < weight.rows; first += piece) {
    const std::size_t rows = std::min(piece, weight.rows - first);
    for (std::size_t r = 0; r < rows; ++r) widen(weight[first + r], &wide[r * columns], columns);
    product(MatrixRef<const Wide>{wide.data(), rows, columns, columns}, column_block(y, first, rows));
  }
}

}  // namespace

template <class Real>
void product(MatrixRef<const Real> x, MatrixRef<const bfloat16_bits> weight, MatrixRef<Real> y) {
  if (!has_work(x, weight, y)) return;
#ifdef MAMBA2_ONEDNN
  if constexpr (std::is_same_v<Real, float>)
    if (multiplies_bfloat16()) return multiply_rounded(rounded(x), weight, y);
#endif
  by_widened_pieces<Real>(weight, y, compact_kernels<Real>().widen_bfloat16,
                          [&](MatrixRef<const Real> W, MatrixRef<Real> out) { product(x, W, out); });
}

// Weights of one byte are widened as well: to bfloat16 where that is multiplied, else to floats.

template <class Real>
void product(MatrixRef<const Real> x, MatrixRef<const std::int8_t> weight, MatrixRef<Real> y) {
  if (!has_work(x, weight, y)) return;
#ifdef MAMBA2_ONEDNN
  if constexpr (std::is_same_v<Real, float>)
    if (multiplies_bfloat16()) {
      const Tensor<bfloat16_bits, 2> narrow = rounded(x);
      return by_widened_pieces<bfloat16_bits>(
          weight, y, compact_kernels<float>().int8_to_bfloat16,
          [&](auto W, MatrixRef<float> out) { multiply_rounded(narrow, W, out); });
    }
#endif
  by_widened_pieces<Real>(weight, y, compact_kernels<Real>().widen_int8,
                          [&](MatrixRef<const Real> W, MatrixRef<Real> out) { product(x, W, out); });
}

template void product(MatrixRef<const float>, MatrixRef<const bfloat16_bits>, MatrixRef<float>);
template void product(MatrixRef<const double>, MatrixRef<const bfloat16_bits>, MatrixRef<double>);
template void product(MatrixRef<const float>, MatrixRef<const std::int8_t>, MatrixRef<float>);
template void product(MatrixRef<const double>, MatrixRef<const std::int8_t>, MatrixRef<double>);

}  // namespace mamba2
