/// \file onednn.hpp
/// \brief oneDNN's products on our matrices, where the build found that library. Explained in @chapter{fast}.
#pragma once

#include <mamba2/matrix.hpp>
#include <mamba2/parallel.hpp>

#ifdef MAMBA2_ONEDNN
#include <oneapi/dnnl/dnnl.hpp>

#include <type_traits>
#include <vector>

//: onednn
namespace mamba2::onednn {

using dnnl::memory;

inline const dnnl::engine& processor() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

// A matrix of ours, perhaps turned round, as one of oneDNN's: nothing is copied.
template <class T>
memory matrix(Factor<T> m, memory::data_type type) {
  const auto number = [](std::size_t n) { return static_cast<memory::dim>(n); };
  const memory::dim stride = number(m.stored.stride);
  const memory::dims shape{number(m.rows()), number(m.columns())};
  const memory::dims strides = m.transposed ? memory::dims{1, stride} : memory::dims{stride, 1};
  return {{shape, type, strides}, processor(), const_cast<T*>(m.stored.data)};
}
template <class T>
memory matrix(MatrixRef<T> m, memory::data_type type) {
  return matrix(Factor<std::remove_const_t<T>>(m), type);
}

// y = x W. Version 3.7 believes that the numbers of a single column lie side by side, also where they do not: a column that
// lies in wider rows is computed apart.
inline void multiply(memory x, memory weight, MatrixRef<float> y) {
  if (y.columns == 1 && y.stride > 1) {
    std::vector<float> column(y.rows);
    multiply(x, weight, {column.data(), y.rows, 1, 1});
    for (std::size_t i = 0; i < y.rows; ++i) *y[i] = column[i];
    return;
  }
  const OneThread one_thread;
  dnnl::stream stream(processor());
  const memory to = matrix(y, memory::data_type::f32);
#if DNNL_VERSION_MAJOR >= 3
  const dnnl::matmul::primitive_desc how(processor(), x.get_desc(), weight.get_desc(), to.get_desc());
#else
  const dnnl::matmul::primitive_desc how({x.get_desc(), weight.get_desc(), to.get_desc()}, processor());
#endif
  dnnl::matmul(how).execute(stream, {{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, weight}, {DNNL_ARG_DST, to}});
  stream.wait();
}

}  // namespace mamba2::onednn
//: end
#endif
