find_package(Threads REQUIRED)
set(chapter_libraries Threads::Threads)
# Products by oneDNN, where it is installed (Debian: libdnnl-dev). Its own CMake file asks for OpenCL, which is not needed.
if(MAMBA2_ONEDNN)
  include(CheckCXXSourceCompiles)
  set(CMAKE_REQUIRED_LIBRARIES dnnl gomp)
  check_cxx_source_compiles("
    #include <oneapi/dnnl/dnnl.hpp>
    extern \"C\" void omp_set_num_threads(int);
    int main() {
      omp_set_num_threads(1);
      const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
      const dnnl::memory m({{1, 1}, dnnl::memory::data_type::f32, {1, 1}}, engine);
    #if DNNL_VERSION_MAJOR >= 3
      dnnl::matmul(dnnl::matmul::primitive_desc(engine, m.get_desc(), m.get_desc(), m.get_desc()));
    #else
      dnnl::matmul(dnnl::matmul::primitive_desc({m.get_desc(), m.get_desc(), m.get_desc()}, engine));
    #endif
    }" ONEDNN_FOUND)
  unset(CMAKE_REQUIRED_LIBRARIES)
  if(ONEDNN_FOUND)
    list(APPEND chapter_libraries dnnl gomp)
    literate_source(products "${here}/products.cpp")
    set_source_files_properties("${products}" PROPERTIES COMPILE_DEFINITIONS MAMBA2_ONEDNN)
  else()
    unset(ONEDNN_FOUND CACHE)  # looked for again the next time: it may have been installed
  endif()
endif()

compile_for_newer_processors(kernels.cpp)
