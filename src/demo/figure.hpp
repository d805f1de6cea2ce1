// What the programs behind the figures share: tables for gnuplot, drawings in SVG, times.
#pragma once

#include <mamba2/tensor.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <ctime>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace demo {

// Opens a file to write to; throws where that fails, there or later.
inline std::ofstream create(const std::string& path) {
  std::ofstream file(path);
  if (!file) throw std::runtime_error("cannot write " + path);
  file.exceptions(std::ios::failbit | std::ios::badbit);
  return file;
}

// A table for gnuplot, a row a line: Table table(folder + "/decay.dat"); table.row(t, y, z); a tensor stands for its entries.
class Table {
 public:
  explicit Table(const std::string& path) : file_(create(path)) {}
  template <class... Values>
  void row(const Values&... values) {
    (write(values), ...);
    file_ << '\n';
  }
  void next_block() { file_ << "\n\n"; }  // gnuplot's `index`

 private:
  template <class Value>
  void write(const Value& value) {
    file_ << value << ' ';
  }
  void write(const mamba2::Tensor<double, 1>& values) {
    for (const double value : values) write(value);
  }
  std::ofstream file_;
};

// The colours that the pages replace by those of the theme, light or dark.
inline constexpr const char *ink = "#010203", *grid = "#808080";
inline std::string colour(std::size_t i) {  // 1: blue, 2: red, 3: green, 4: purple, 5: amber, 6: the last
  return "#0a0b0" + std::to_string(i);
}
inline constexpr const char *blue = "#0a0b01", *red = "#0a0b02", *green = "#0a0b03", *purple = "#0a0b04",
                            *amber = "#0a0b05";

// A drawing, finished when it goes out of scope. Positions are of left upper corners, in pixels; text stands on its y.
class Drawing {
 public:
  Drawing(const std::string& path, double width, double height) : file_(create(path)) {
    file_ << "<svg xmlns='http://www.w3.org/2000/svg' width='" << width << "' height='" << height << "' viewBox='0 0 "
          << width << ' ' << height << "'>\n";
  }
  ~Drawing() { file_ << "</svg>\n"; }
  Drawing(const Drawing&) = delete;
  Drawing& operator=(const Drawing&) = delete;

  void rectangle(double x, double y, double width, double height, const std::string& attributes) {
    file_ << "<rect x='" << x << "' y='" << y << "' width='" << width << "' height='" << height << "' " << attributes
          << "/>\n";
  }
  void frame(double x, double y, double width, double height, const std::string& colour = grid, double stroke = 1) {
    rectangle(x, y, width, height, "fill='none' stroke='" + colour + "' stroke-width='" + number(stroke) + "'");
  }
  void box(double x, double y, double width, double height, const std::string& colour) {
    rectangle(x, y, width, height, "rx='4' fill='" + colour + "' fill-opacity='0.22' stroke='" + colour + "'");
  }
  void line(double x1, double y1, double x2, double y2, const std::string& colour = ink,
            const std::string& attributes = "stroke-width='1.4'") {
    file_ << "<line x1='" << x1 << "' y1='" << y1 << "' x2='" << x2 << "' y2='" << y2 << "' stroke='" << colour << "' "
          << attributes << "/>\n";
  }
  void arrow(double x1, double x2, double y) {  // to the right
    line(x1, y, x2, y);
    file_ << "<path d='M" << x2 << ' ' << y << "l-5 -3.5v7z' fill='" << ink << "'/>\n";
  }
  void text(double x, double y, const std::string& words, double size = 15, const std::string& colour = ink,
            const std::string& anchor = "middle") {
    file_ << "<text x='" << x << "' y='" << y << "' text-anchor='" << anchor << "' fill='" << colour << "' font-size='"
          << size << "'>" << words << "</text>\n";
  }
  // A square for each entry of a matrix: one colour where it is positive, another where it is negative, and the stronger the larger
  // the entry is beside `largest`; a small `power` brings out the small ones.
  void entries(const mamba2::Tensor<double, 2>& m, double x, double y, double cell, double largest, double power,
               const std::string& positive = blue, const std::string& negative = red) {
    constexpr int shades = 60;
    std::map<std::pair<bool, int>, std::ostringstream> squares;  // of one shade, as one path
    for (std::size_t i = 0; i < m.shape(0); ++i)
      for (std::size_t j = 0; j < m.shape(1); ++j) {
        const double strength = std::pow(std::min(1.0, std::abs(m(i, j)) / largest), power);
        const int shade = static_cast<int>(std::lround(shades * strength));
        if (strength < 0.004) continue;
        squares[{m(i, j) > 0, std::max(1, shade)}] << 'M' << x + cell * static_cast<double>(j) << ' '
                                                   << y + cell * static_cast<double>(i) << 'h' << cell << 'v' << cell
                                                   << 'h' << -cell << 'z';
      }
    for (const auto& [which, path] : squares)
      file_ << "<path d='" << path.str() << "' fill='" << (which.first ? positive : negative) << "' fill-opacity='"
            << number(static_cast<double>(which.second) / shades) << "' shape-rendering='crispEdges'/>\n";
  }

 private:
  static std::string number(double value) { return std::to_string(value).substr(0, 5); }
  std::ofstream file_;
};

inline double largest_of(const mamba2::Tensor<double, 2>& m) {
  double largest = 0;
  for (const double entry : m) largest = std::max(largest, std::abs(entry));
  return largest;
}

// The shortest of several runs of the work, in seconds of this thread's processor time: what other programs take does not count.
inline double seconds(const std::function<void()>& work) {
  const auto now = [] {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  double best = 1e9, spent = 0;
  for (int runs = 0; runs < 3 || (spent < 0.04 && runs < 2000); ++runs) {
    const double start = now();
    work();
    const double time = now() - start;
    best = std::min(best, time);
    spent += time;
    if (spent > 0.4) break;
  }
  return best;
}

}  // namespace demo
