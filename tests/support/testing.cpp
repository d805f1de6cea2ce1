#include <support/testing.hpp>

#if __has_include(<xtensor/io/xnpy.hpp>)
#include <xtensor/io/xnpy.hpp>
#else
#include <xtensor/xnpy.hpp>
#endif

namespace testing {

std::filesystem::path golden_path(const std::string& folder) {
  return std::filesystem::path(GOLDEN_DIR) / folder;
}

bool has_golden(const std::string& folder, const std::string& name) {
  return std::filesystem::exists(golden_path(folder) / (name + ".npy"));
}

template <class T>
Array<T> read_npy(const std::filesystem::path& path) {
  const auto array = xt::load_npy<T>(path.string());
  return {{array.shape().begin(), array.shape().end()}, {array.begin(), array.end()}};
}

template Array<float> read_npy(const std::filesystem::path&);
template Array<double> read_npy(const std::filesystem::path&);
template Array<std::int64_t> read_npy(const std::filesystem::path&);

}  // namespace testing
