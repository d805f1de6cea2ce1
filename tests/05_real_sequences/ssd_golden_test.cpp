// The operator against the golden data: every case, every algorithm, several chunk sizes, double and float.
#include <mamba2/ssd.hpp>
#include <support/catch.hpp>
#include <support/ssd_cases.hpp>

using namespace mamba2;

namespace {

constexpr std::size_t kChunkSizes[] = {1, 2, 7, 16, 32, 64, 1000};

template <class Real>
void check_case(const std::string& name, double tolerance) {
  const testing::SsdCase<Real> golden = testing::ssd_case<Real>(name);
  ScanOptions options = golden.options;
  for (const Algorithm algorithm : testing::kAlgorithms) {
    options.algorithm = algorithm;
    for (const std::size_t chunk_size : kChunkSizes) {
      if (algorithm != Algorithm::chunked && chunk_size != kChunkSizes[0]) continue;  // they do not read it
      options.chunk_size = chunk_size;
      INFO(name << ", algorithm " << static_cast<int>(algorithm) << ", chunk size " << chunk_size);
      const ScanOutput<Real> out = ssd(golden.input, options);
      CHECK(out.y.shape() == golden.y.shape());
      CHECK(out.last_state.shape() == golden.last_state.shape());
      CHECK(testing::relative_error(out.y, golden.y) < tolerance);
      CHECK(testing::relative_error(out.last_state, golden.last_state) < tolerance);
    }
  }
}

}  // namespace

TEST_CASE("ssd equals the golden data, every case and algorithm", "[ssd][golden]") {
  REQUIRE(testing::ssd_case_names().size() == 9);
  for (const std::string& name : testing::ssd_case_names()) {
    check_case<double>(name, 1e-12);
    check_case<float>(name, 2e-5);
  }
}
