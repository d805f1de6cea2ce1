// What small models learn in minutes: recorded, see chapters/README.md.
#include <demo/own_model.hpp>
#include <demo/recall.hpp>
#include <demo/record.hpp>
#include <mamba2/checkpoint.hpp>
#include <mamba2/generation.hpp>
#include <mamba2/model_directory.hpp>
#include <mamba2/parallel.hpp>
#include <mamba2/processors.hpp>
#include <mamba2/utf8.hpp>

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

// ---- the book's own model

const std::filesystem::path models = MODELS;

constexpr demo::OwnTraining own{.vocab_size = 1024, .d_model = 128, .n_layer = 8, .steps = 1500};

void own_first(std::ostream& out) {
  demo::OwnLearner learner(demo::OwnText(models).learnt, own);
  out << learner.tokens() << " tokens\n";
  for (int step = 0; step < 3; ++step) out << number(learner.step(), 4) << '\n';
}

// Learns, and prints on the way: the step, bits per byte of what was learnt since the last line and
// of what is held out.
void learn(demo::OwnLearner& learner, const demo::OwnTraining& how, const demo::OwnText& text,
           std::ostream& out) {
  const std::uint64_t between = how.steps / 20;
  const double bytes_per_token =
      static_cast<double>(text.learnt.size()) / static_cast<double>(learner.tokens());
  double losses = 0;
  while (learner.made() < how.steps) {
    losses += learner.step();
    if (learner.made() % between != 0) continue;
    const double learnt = losses / static_cast<double>(between) / std::log(2.0) / bytes_per_token;
    const double held_out = demo::bits_per_byte(learner.model(), learner.tokenizer(), text.held_out);
    out << learner.made() << ' ' << number(learnt, 3) << ' ' << number(held_out, 3) << '\n';
    std::fprintf(stderr, "step %d: %.3f, held out %.3f\n", static_cast<int>(learner.made()), learnt,
                 held_out);
    losses = 0;
  }
}

void keep(const demo::OwnLearner& learner) {
  mamba2::save_language_model(learner.model(), models / "book", mamba2::CheckpointLayout::hugging_face,
                              mamba2::ElementType::bfloat16);
  std::filesystem::remove(models / "book/tokenizer.json");
  mamba2::NewFile file(models / "book/tokenizer.json");
  file.write(learner.tokenizer_json());
  file.commit();
}

// Bits for each byte that a command needs to pack what is held out: by itself, and after what was
// learnt.
std::pair<double, double> packed(const std::string& command, double bytes) {
  const auto quoted = [](const char* name) {
    return std::string("'").append((models / name).string()).append("'");
  };
  const std::string learnt = quoted("learnt.txt"), held_out = quoted("held_out.txt");
  const auto size = [&](const std::string& files) {
    return std::stod(demo::printed_by("cat " + files + " | " + command + " | wc -c"));
  };
  return {8 * size(held_out) / bytes, 8 * (size(learnt + " " + held_out) - size(learnt)) / bytes};
}

void compare(const demo::OwnText& text, double model, std::ostream& out) {
  const auto bytes = static_cast<double>(text.held_out.size());
  const auto row = [&](const std::string& name, std::pair<double, double> bits) {
    out << name << right("", 24 - name.size()) << right(bits.first > 0 ? number(bits.first, 3) : "", 8)
        << right(number(bits.second, 3), 18) << '\n';
  };
  out << "bits per byte              alone   having read all\n";
  row("xz -9e", packed("xz -9e -c", bytes));
  row("zstd --ultra -22", packed("zstd --ultra -22 --long=27 -q -c", bytes));
  demo::OrderFive alone, informed;
  const double by_itself = alone.read(text.held_out);
  informed.read(text.learnt);
  row("order 5", {by_itself / bytes, informed.read(text.held_out) / bytes});
  row("this model, bfloat16", {0, model});
}

// What the model writes after some beginnings.
void page(const mamba2::LanguageModel<float>& model, const mamba2::Tokenizer& tokenizer,
          std::ostream& out) {
  for (const char* prompt : {"The state", "A chunk is", "## Exercises", "template <class Real>"}) {
    mamba2::GenerationOptions how{.max_new_tokens = 120, .seed = 1};
    how.sampling.temperature = 0.5;
    mamba2::fit_to_model(how, model.config(), &tokenizer);
    auto ids = tokenizer.encode(prompt);
    const auto written = mamba2::generate(model, {ids}, how);
    ids.insert(ids.end(), written[0].ids.begin(), written[0].ids.end());
    out << mamba2::presentable(tokenizer.decode(ids)) << "\n\n";
  }
}

void own_model(std::ostream& out) {
  mamba2::set_num_threads(mamba2::usable_processors());
  const demo::OwnText text(models);
  demo::OwnLearner learner(text.learnt, own);
  out << "[curve]\n";
  learn(learner, own, text, out);
  keep(learner);
  const auto model = mamba2::load_language_model<float>(models / "book");
  const mamba2::Tokenizer tokenizer = mamba2::load_tokenizer(models / "book");
  const double bits = demo::bits_per_byte(model, tokenizer, text.held_out);
  out << "[size]\nbytes learnt          " << text.learnt.size() << "\ntokens learnt         "
      << learner.tokens() << "\nbytes held out        " << text.held_out.size()
      << "\nparameters            " << mamba2::parameter_count(model.config())
      << "\nsteps                 " << own.steps << "\ntokens read           "
      << own.steps * own.options.batches.batch * own.options.batches.seqlen << '\n';
  out << "[bits_per_byte]\n";
  compare(text, bits, out);
  out << "[text]\n";
  page(model, tokenizer, out);
}

// The model that is kept, asked again.
void own_score(std::ostream& out) {
  const mamba2::Tokenizer tokenizer = mamba2::load_tokenizer(models / "book");
  const std::string text = demo::OwnText(models).held_out;
  out << "held out, bits per byte "
      << number(
             demo::bits_per_byte(mamba2::load_language_model<float>(models / "book"), tokenizer, text),
             3)
      << '\n';
}

}  // namespace

int main(int count, char** arguments) {
  mamba2::set_num_threads(1);  // the smallest models are not worth two
  return demo::record_program(count, arguments, RECORDED,
                              {{"recall", "1 2 3 4", recall_first, recall},
                               {"initialisation", "1 2 3 4", initialisation_first, initialisation},
                               {"own_model", "0", own_first, own_model},
                               {"own_score", "none", own_score, [](std::ostream&) {}}});
}
