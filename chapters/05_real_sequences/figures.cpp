// The data of this chapter's figures: figures_NN OUTDIR.
#include <demo/figure.hpp>
#include <mamba2/ssd.hpp>

#include <algorithm>
#include <string>
#include <vector>

using namespace mamba2;

namespace {

// Raw number, softplus, softplus within limits.
void step_size_data(demo::Table out) {
  for (double raw = -5; raw <= 5.001; raw += 0.05)
    out.row(raw, step_size(raw, {}), step_size(raw, {.dt_min = 0.5, .dt_max = 2}));
}

// Six heads, in 1, 3 and 6 groups.
void draw_head_groups(const std::string& path) {
  constexpr std::size_t nheads = 6;
  demo::Drawing d(path, 610, 348);
  double top = 8;
  for (const std::size_t ngroups : {1, 3, 6}) {
    const auto centre = [](std::size_t i, std::size_t n) {
      return 120 + 480 * (static_cast<double>(i) + 0.5) / static_cast<double>(n);
    };
    const auto colour = [&](std::size_t group) { return demo::colour(group + 1); };
    for (std::size_t h = 0; h < nheads; ++h) {
      const std::size_t g = group_of_head(h, nheads, ngroups);
      d.line(centre(g, ngroups), top + 26, centre(h, nheads), top + 60, colour(g));
      d.box(centre(h, nheads) - 34, top + 60, 68, 26, colour(g));
      d.text(centre(h, nheads), top + 78, "head " + std::to_string(h));
    }
    for (std::size_t g = 0; g < ngroups; ++g) {
      d.box(centre(g, ngroups) - 26, top, 52, 26, colour(g));
      d.text(centre(g, ngroups), top + 18, "B, C");
    }
    d.text(0, top + 49, ngroups == 1 ? "1 group" : std::to_string(ngroups) + " groups", 15, demo::ink,
           "start");
    top += 122;
  }
}

// Twenty tokens as one sequence and as three, with their chunks.
void draw_packed(const std::string& path) {
  constexpr std::size_t chunk_size = 4;
  const std::vector<std::int64_t> one(20, 0),
      three{0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2};
  demo::Drawing d(path, 606, 188);
  double top = 6;
  for (const auto& seq_idx : {one, three}) {
    const std::vector<std::size_t> bounds = sequence_bounds(seq_idx);
    const auto at = [](std::size_t token) { return 84 + 26 * static_cast<double>(token); };
    d.text(0, top + 15, "tokens", 15, demo::ink, "start");
    d.text(0, top + 61, "chunks", 15, demo::ink, "start");
    for (std::size_t i = 0; i + 1 < bounds.size(); ++i) {
      for (std::size_t t = bounds[i]; t < bounds[i + 1]; ++t)
        d.box(at(t), top, 22, 22, demo::colour(i + 1));
      for (std::size_t t = bounds[i]; t < bounds[i + 1]; t += chunk_size) {
        const std::size_t end = std::min(t + chunk_size, bounds[i + 1]);
        d.box(at(t), top + 42, at(end) - at(t) - 12, 28, demo::colour(i + 1));
        d.text((at(t) + at(end) - 12) / 2, top + 61, std::to_string(end - t));
        if (end < bounds[i + 1]) d.arrow(at(end) - 11, at(end) - 1, top + 56);
      }
    }
    top += 104;
  }
}

}  // namespace

int main(int, char** arguments) {
  const std::string folder = std::string(arguments[1]) + "/";
  step_size_data(demo::Table(folder + "step_size.dat"));
  draw_head_groups(folder + "head_groups.svg");
  draw_packed(folder + "packed.svg");
}
