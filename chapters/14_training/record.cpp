// What small models learn in minutes: recorded, see chapters/README.md.
#include <demo/recall.hpp>
#include <demo/record.hpp>
#include <mamba2/parallel.hpp>

#include <array>
#include <cstdio>
#include <ostream>
#include <string>
#include <vector>

namespace {

using demo::RecallLearner;
using demo::RecallTraining;

constexpr std::array<std::uint64_t, 4> seeds{1, 2, 3, 4};
constexpr std::array<std::size_t, 4> state_sizes{2, 4, 8, 16};

// One list of twelve pairs; a model that is small beside it.
RecallTraining one_list(std::size_t d_state, bool fixed_decay, std::uint64_t seed) {
  return {.task = {.keys = 16, .values = 16, .pairs = 12},
          .block = {.d_model = 16, .d_state = d_state, .headdim = 8, .chunk_size = 64},
          .steps = 2500,
          .rate = 0.015,
          .seed = seed,
          .fixed_decay = fixed_decay};
}

// Two short lists, then a pause, or none.
RecallTraining two_lists(std::size_t pause, bool fixed_decay, bool forgetful, std::uint64_t seed) {
  return {.task = {.keys = 8, .values = 8, .pairs = 4, .lists = 2, .pause = pause},
          .block = {.d_model = 32, .d_state = 16, .headdim = 16, .chunk_size = 64},
          .steps = 1500,
          .rate = 0.01,
          .seed = seed,
          .fixed_decay = fixed_decay,
          .forgetful = forgetful};
}

std::string number(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}
std::string right(std::string text, std::size_t width) {
  return std::string(width - std::min(width, text.size()), ' ') + text;
}

void losses(std::ostream& out, const std::string& name, const RecallTraining& how) {
  RecallLearner learner(how);
  out << name;
  for (int step = 0; step < 4; ++step) out << "  " << number(learner.step(), 10);
  out << '\n';
}

double learnt(const RecallTraining& how, const std::string& what) {
  RecallLearner learner(how);
  learner.steps(how.steps);
  const double accuracy = learner.accuracy();
  std::fprintf(stderr, "%s, seed %d: %.1f %%\n", what.c_str(), static_cast<int>(how.seed), accuracy);
  return accuracy;
}

// A row for each of some trainings: a number for each seed, and their mean.
struct Row {
  std::string name;
  std::vector<double> values;
};
void table(std::ostream& out, const std::vector<Row>& rows) {
  out << right("", 32);
  for (const std::uint64_t seed : seeds) out << right("seed " + std::to_string(seed), 9);
  out << right("mean", 10) << '\n';
  for (const Row& row : rows) {
    double sum = 0;
    out << row.name << right("", 32 - row.name.size());
    for (const double value : row.values) out << right(number(value, 1), 9), sum += value;
    out << right(number(sum / static_cast<double>(row.values.size()), 1), 10) << '\n';
  }
}

void recall_first(std::ostream& out) {
  losses(out, "selective    ", one_list(4, false, 1));
  losses(out, "fixed decay  ", one_list(4, true, 1));
}

void recall(std::ostream& out) {
  std::vector<Row> rows, lists;
  for (const bool fixed : {false, true})
    for (const std::size_t n : state_sizes) {
      rows.push_back({(fixed ? "fixed decay, N = " : "selective, N = ") + std::to_string(n), {}});
      for (const std::uint64_t seed : seeds)
        rows.back().values.push_back(learnt(one_list(n, fixed, seed), rows.back().name));
    }
  for (const bool fixed : {false, true}) {
    lists.push_back({fixed ? "fixed decay" : "selective", {}});
    for (const std::uint64_t seed : seeds)
      lists.back().values.push_back(
          learnt(two_lists(16, fixed, false, seed), "two lists, " + lists.back().name));
  }
  out << "[accuracy]\n";
  table(out, rows);
  out << "[two_lists]\n";
  table(out, lists);
  out << "[plot]\n";  // N, selective, fixed decay; a block for each seed, then the means
  for (std::size_t seed = 0; seed <= seeds.size(); ++seed) {
    for (std::size_t n = 0; n < state_sizes.size(); ++n) {
      out << state_sizes[n];
      for (const std::size_t first : {std::size_t{0}, state_sizes.size()}) {
        const std::vector<double>& values = rows[first + n].values;
        double shown = 0;
        for (const double value : values) shown += value / static_cast<double>(values.size());
        out << ' ' << number(seed < seeds.size() ? values[seed] : shown, 1);
      }
      out << '\n';
    }
    out << "\n\n";
  }
}

constexpr std::size_t longest_pause = 64;

void initialisation_first(std::ostream& out) {
  losses(out, "as in the reference  ", two_lists(longest_pause, false, false, 1));
  losses(out, "without care         ", two_lists(longest_pause, false, true, 1));
}

void initialisation(std::ostream& out) {
  constexpr std::uint64_t between = 75;
  std::vector<Row> rows;
  std::vector<std::vector<double>> curves;  // with the longest pause
  for (const std::size_t pause : {std::size_t{0}, std::size_t{16}, longest_pause})
    for (const bool forgetful : {false, true}) {
      rows.push_back({std::string(forgetful ? "without care" : "as in the reference") + ", pause " +
                          std::to_string(pause),
                      {}});
      for (const std::uint64_t seed : seeds) {
        const RecallTraining how = two_lists(pause, false, forgetful, seed);
        RecallLearner learner(how);
        std::vector<double> curve{learner.accuracy()};
        for (std::uint64_t step = 0; step < how.steps; step += between) {
          learner.steps(between);
          curve.push_back(learner.accuracy());
        }
        rows.back().values.push_back(curve.back());
        std::fprintf(stderr, "%s, seed %d: %.1f %%\n", rows.back().name.c_str(), static_cast<int>(seed),
                     curve.back());
        if (pause == longest_pause) curves.push_back(curve);
      }
    }
  out << "[accuracy]\n";
  table(out, rows);
  out << "[curves]\n";  // step, then as in the reference and without care, each for all seeds
  for (std::size_t i = 0; i < curves[0].size(); ++i) {
    out << between * i;
    for (const auto& curve : curves) out << ' ' << number(curve[i], 1);
    out << '\n';
  }
}

}  // namespace

int main(int count, char** arguments) {
  mamba2::set_num_threads(1);  // models so small are not worth two
  return demo::record_program(count, arguments, RECORDED,
                              {{"recall", "1 2 3 4", recall_first, recall},
                               {"initialisation", "1 2 3 4", initialisation_first, initialisation}});
}
