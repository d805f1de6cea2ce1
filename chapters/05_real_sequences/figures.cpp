// The data of this chapter's figures: figures_NN OUTDIR.
#include <mamba2/ssd.hpp>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>

using namespace mamba2;

namespace {

// Raw number, softplus, softplus within limits.
void step_size_data(std::ofstream out) {
  for (double raw = -5; raw <= 5.001; raw += 0.05)
    out << raw << ' ' << step_size(raw, {}) << ' ' << step_size(raw, {.dt_min = 0.5, .dt_max = 2})
        << '\n';
}

// A drawing of boxes, lines and words, in the colours of the book.
class Drawing {
 public:
  void box(double x, double y, double width, double height, int colour) {
    body_ << "<rect x='" << x << "' y='" << y << "' width='" << width << "' height='" << height
          << "' rx='4' fill='#0a0b0" << colour << "' fill-opacity='0.22' stroke='#0a0b0" << colour
          << "'/>\n";
  }
  void line(double x1, double y1, double x2, double y2, int colour = 0) {
    body_ << "<line x1='" << x1 << "' y1='" << y1 << "' x2='" << x2 << "' y2='" << y2 << "' stroke='"
          << ink(colour) << "' stroke-width='1.4'/>\n";
  }
  void arrow(double x1, double x2, double y) {  // to the right
    line(x1, y, x2, y);
    body_ << "<path d='M" << x2 << ' ' << y << "l-5 -3.5v7z' fill='#010203'/>\n";
  }
  void text(double x, double y, const std::string& words, const char* anchor = "middle") {
    body_ << "<text x='" << x << "' y='" << y << "' text-anchor='" << anchor
          << "' fill='#010203' font-size='15'>" << words << "</text>\n";
  }
  void save(const std::string& path, double width, double height) const {
    std::ofstream(path) << "<svg xmlns='http://www.w3.org/2000/svg' width='" << width << "' height='"
                        << height << "' viewBox='0 0 " << width << ' ' << height << "'>\n"
                        << body_.str() << "</svg>\n";
  }

 private:
  static std::string ink(int colour) {
    return colour == 0 ? "#010203" : "#0a0b0" + std::to_string(colour);
  }
  std::ostringstream body_;
};

// Six heads, in 1, 3 and 6 groups.
void draw_head_groups(const std::string& path) {
  constexpr std::size_t nheads = 6;
  Drawing d;
  double top = 8;
  for (const std::size_t ngroups : {1, 3, 6}) {
    const auto centre = [](std::size_t i, std::size_t n) {
      return 120 + 480 * (static_cast<double>(i) + 0.5) / static_cast<double>(n);
    };
    const auto colour = [&](std::size_t group) { return static_cast<int>(group) + 1; };
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
    d.text(0, top + 49, ngroups == 1 ? "1 group" : std::to_string(ngroups) + " groups", "start");
    top += 122;
  }
  d.save(path, 610, top - 26);
}

// Twenty tokens as one sequence and as three, with their chunks.
void draw_packed(const std::string& path) {
  constexpr std::size_t chunk_size = 4;
  const std::vector<std::int64_t> one(20, 0),
      three{0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2};
  Drawing d;
  double top = 6;
  for (const auto& seq_idx : {one, three}) {
    const std::vector<std::size_t> bounds = sequence_bounds(seq_idx);
    const auto at = [](std::size_t token) { return 84 + 26 * static_cast<double>(token); };
    d.text(0, top + 15, "tokens", "start");
    d.text(0, top + 61, "chunks", "start");
    for (std::size_t i = 0; i + 1 < bounds.size(); ++i) {
      for (std::size_t t = bounds[i]; t < bounds[i + 1]; ++t)
        d.box(at(t), top, 22, 22, static_cast<int>(i) + 1);
      for (std::size_t t = bounds[i]; t < bounds[i + 1]; t += chunk_size) {
        const std::size_t end = std::min(t + chunk_size, bounds[i + 1]);
        d.box(at(t), top + 42, at(end) - at(t) - 12, 28, static_cast<int>(i) + 1);
        d.text((at(t) + at(end) - 12) / 2, top + 61, std::to_string(end - t));
        if (end < bounds[i + 1]) d.arrow(at(end) - 11, at(end) - 1, top + 56);
      }
    }
    top += 104;
  }
  d.save(path, 606, top - 26);
}

}  // namespace

int main(int, char** arguments) {
  const std::string folder = std::string(arguments[1]) + "/";
  step_size_data(std::ofstream(folder + "step_size.dat"));
  draw_head_groups(folder + "head_groups.svg");
  draw_packed(folder + "packed.svg");
}
