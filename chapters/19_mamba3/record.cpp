// What models learn to count: recorded, see chapters/README.md.
#include <demo/record.hpp>
#include <demo/state_learner.hpp>
#include <mamba2/parallel.hpp>

#include <array>
#include <cstdio>
#include <ostream>
#include <string>
#include <vector>

namespace {

using demo::StateLearner;
using demo::StateTraining;

constexpr std::array<std::uint64_t, 3> seeds{1, 2, 3};
constexpr std::array<std::size_t, 4> lengths{64, 128, 256,
                                             512};  // the first is the longest that is taught

StateTraining with_mamba2(std::size_t count, std::uint64_t seed) {
  return {
      .task = demo::counting(count),
      .mixer =
          mamba2::Mamba2Config{
              .d_model = 16, .d_state = 8, .headdim = 8, .chunk_size = 16, .dt_min = 0.1, .dt_max = 1},
      .layers = 2,
      .seed = seed};
}
StateTraining with_mamba3(std::size_t count, std::uint64_t seed) {
  return {.task = demo::counting(count),
          .mixer = mamba2::Mamba3Config{.d_model = 16,
                                        .d_state = 4,
                                        .headdim = 8,
                                        .rope_fraction = 1,
                                        .dt_min = 0.1,
                                        .dt_max = 1,
                                        .chunk_size = 16,
                                        .A_activation = mamba2::RateActivation::softplus},
          .layers = 1,
          .seed = seed};
}

std::string number(double value, int digits, int width) {
  char text[40];
  std::snprintf(text, sizeof text, "%*.*f", width, digits, value);
  return text;
}

void first_steps(std::ostream& out) {
  for (const auto& how : {with_mamba2(2, 1), with_mamba3(2, 1)}) {
    StateLearner learner(how);
    for (int step = 0; step < 4; ++step) out << number(learner.step(), 8, 12);
    out << '\n';
  }
}

// The share of right answers, between each length and the one before it.
std::vector<double> learnt(const StateTraining& how) {
  StateLearner learner(how);
  for (std::uint64_t step = 0; step < how.steps; ++step) learner.step();
  demo::Random random(7);
  const demo::StateTexts texts = demo::random_texts(how.task, 64, lengths.back(), random);
  const auto logits = learner.model().forward(texts.ids);
  std::vector<double> right;
  std::size_t from = 0;
  for (const std::size_t to : lengths) {
    right.push_back(100 * demo::share_right(logits, texts, how.task, from, to));
    std::fprintf(stderr, " %.1f", right.back());
    from = to;
  }
  std::fprintf(stderr, "  (%s, seed %d)\n", how.task.name.c_str(), static_cast<int>(how.seed));
  return right;
}

void counting(std::ostream& out) {
  std::vector<std::vector<double>> all;
  out << "[accuracy]\npercent right at places         to 64   to 128   to 256   to 512\n";
  for (const std::size_t count : {2UL, 3UL})
    for (const bool turns : {false, true})
      for (const std::uint64_t seed : seeds) {
        const StateTraining how = turns ? with_mamba3(count, seed) : with_mamba2(count, seed);
        all.push_back(learnt(how));
        const std::string name =
            how.task.name + (turns ? ", Mamba-3" : ", Mamba-2") + ", seed " + std::to_string(seed);
        out << name << std::string(28 - name.size(), ' ');
        for (const double right : all.back()) out << number(right, 1, 9);
        out << '\n';
      }
  out << "[plot]\n";  // a block for each training: length, percent
  for (const std::vector<double>& rights : all) {
    for (std::size_t i = 0; i < lengths.size(); ++i)
      out << lengths[i] << ' ' << number(rights[i], 1, 0) << '\n';
    out << "\n\n";
  }
}

}  // namespace

int main(int count, char** arguments) {
  mamba2::set_num_threads(1);  // models so small are not worth two
  return demo::record_program(count, arguments, RECORDED,
                              {{"counting", "1 2 3", first_steps, counting}});
}
