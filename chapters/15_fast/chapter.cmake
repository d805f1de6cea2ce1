# The inner loops are compiled once more for each newer level of the instruction set; the program picks one when it starts.
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

if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  literate_source(kernels "${here}/kernels.cpp")
  foreach(level IN ITEMS x86-64-v3 x86-64-v4)
    string(REPLACE "-" "_" set ${level})
    add_library(mamba2_${number}_${set} OBJECT "${kernels}")
    target_link_libraries(mamba2_${number}_${set} PRIVATE mamba2_settings)
    target_compile_definitions(mamba2_${number}_${set} PRIVATE MAMBA2_INSTRUCTION_SET=${set})
    target_compile_options(mamba2_${number}_${set} PRIVATE -march=${level})
    set_target_properties(mamba2_${number}_${set} PROPERTIES POSITION_INDEPENDENT_CODE ON)
    list(APPEND objects mamba2_${number}_${set})
  endforeach()
endif()
