// The data of this chapter's figures: figures_NN OUTDIR
#include <demo/figure.hpp>
#include <mamba2/sampling.hpp>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

namespace {

using mamba2::Candidate;

constexpr std::size_t tokens = 10;

// Scores that fall with the rank: steeply where the model is certain, slowly where it is not.
std::vector<double> scores(double slope, double lead) {
  std::vector<double> s;
  for (std::size_t v = 0; v < tokens; ++v)
    s.push_back(-slope * static_cast<double>(v) + (v == 0 ? lead : 0));
  return s;
}

// For each token its probability after a filter; 0 where it is out.
std::vector<double> after(const std::vector<double>& s,
                          const std::function<void(std::vector<Candidate>&)>& filter) {
  auto list = mamba2::candidates(std::span<const double>(s));
  filter(list);
  const auto p = mamba2::probabilities(list);
  std::vector<double> result(s.size(), 0.0);
  for (std::size_t i = 0; i < list.size(); ++i) result[static_cast<std::size_t>(list[i].id)] = p[i];
  return result;
}

}  // namespace

int main(int, char** argv) {
  const std::string folder = argv[1];
  const auto none = [](std::vector<Candidate>&) {};
  auto temperature = demo::create(folder + "/temperature.dat");
  const auto some = scores(0.45, 0.3);
  const auto cold = after(some, [](auto& t) { mamba2::apply_temperature(t, 0.5); });
  const auto own = after(some, none);
  const auto hot = after(some, [](auto& t) { mamba2::apply_temperature(t, 2); });
  for (std::size_t v = 0; v < tokens; ++v)
    temperature << v + 1 << " " << cold[v] << " " << own[v] << " " << hot[v] << "\n";

  // The model's own probability, and whether top-k, top-p and min-p keep the token.
  auto filters = demo::create(folder + "/filters.dat");
  const auto certain = scores(0.5, 3.0), open = scores(0.12, 0);
  for (const auto* s : {&certain, &open}) {
    const auto p = after(*s, none), k = after(*s, [](auto& t) { mamba2::keep_top_k(t, 4); }),
               top = after(*s, [](auto& t) { mamba2::keep_top_p(t, 0.9); }),
               min = after(*s, [](auto& t) { mamba2::keep_min_p(t, 0.4); });
    for (std::size_t v = 0; v < tokens; ++v)
      filters << v + 1 << " " << p[v] << " " << (k[v] > 0) << " " << (top[v] > 0) << " " << (min[v] > 0)
              << "\n";
    filters << "\n\n";
  }
  return temperature && filters ? 0 : 1;
}
