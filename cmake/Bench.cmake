# The benchmarks, build/bin/benchmarks, where Google Benchmark is installed.

# add_bench(): the program, and a test that each of its parts runs.
function(add_bench)
  find_package(benchmark QUIET)
  if(NOT benchmark_FOUND OR MAMBA2_SANITIZE)
    return()
  endif()
  add_executable(benchmarks "${PROJECT_SOURCE_DIR}/bench/bench.cpp")
  target_link_libraries(benchmarks PRIVATE mamba2_settings mamba2::mamba2 benchmark::benchmark)
  add_test(NAME bench.runs COMMAND benchmarks --benchmark_min_time=0
    --benchmark_filter=^scan/batch:1/seqlen:64/|^plain_scan/batch:1/seqlen:64/|^scan_products/chunk_size:64|^convolution|^norm|^block|^training/threads:1|^scan_backwards/seqlen:256)
  set_tests_properties(bench.runs PROPERTIES LABELS programs TIMEOUT 120)
endfunction()
