// ## The program {#training_program}
//
// A model that learns something worth learning takes minutes, and its numbers are not the same on
// every machine. This chapter's program makes do with a nursery rhyme. It is built in a way that a
// reader notices at once and a model has to find out: each verse is a new line and then the verse
// before. It is learnt in double precision, so that you will see what is printed here.
//
// @quote src/demo/rhyme.hpp#rhyme

#include <demo/demo.hpp>
#include <demo/rhyme.hpp>
#include <mamba2/generation.hpp>
#include <mamba2/training.hpp>
#include <mamba2/training_checkpoint.hpp>

#include <cstdio>
#include <filesystem>
#include <map>
#include <string>

#include <unistd.h>

namespace {

using mamba2::LanguageModel;
using mamba2::LanguageModelConfig;
using mamba2::LanguageModelParameters;
using mamba2::ParameterInfo;
using Run = mamba2::TrainingRun<double>;

LanguageModelConfig config() {
  return {.n_layer = 2,
          .vocab_size = 128,
          .mixer = mamba2::Mamba2Config{.d_model = 32, .d_state = 16, .headdim = 16, .chunk_size = 32}};
}

constexpr std::uint64_t steps = 120;

Run beginning() {
  mamba2::TrainingOptions options;
  options.schedule = {.peak = 0.01, .last = 0.1, .warmup = 10};
  options.batches = {.batch = 4, .seqlen = 64, .seed = 1};
  return {.state = mamba2::TrainingState<double>(LanguageModel<double>(config(), 0)),
          .options = options};
}

mamba2::StepReport one_step(Run& run, mamba2::Batches& batches) {
  const std::uint64_t step = run.state.moments.steps;
  const double done = static_cast<double>(step) / static_cast<double>(steps);
  const auto report = mamba2::training_step<double>(
      run.state, mamba2::batches_of_step(batches, step, run.options), done, run.options);
  run.watch.add(report.loss);
  return report;
}

// Which parameters decay, and how many numbers they have.

void decay() {
  std::map<std::string, std::pair<std::size_t, std::string>> kinds;  // by the end of the name
  for (const ParameterInfo& info : parameter_list(config())) {
    std::string name = info.name.substr(info.name.find('.') + 1);
    if (name.starts_with("layers.")) name = name.substr(9);
    auto& kind = kinds[name];
    kind.first += info.size();
    kind.second = info.decays ? "decays" : "-";
  }
  for (const auto& [name, kind] : kinds)
    std::printf("%-24s %6zu numbers   %s\n", name.c_str(), kind.first, kind.second.c_str());
}

// What a model makes of a beginning: the likeliest character, again and again.

void write(const LanguageModel<double>& model) {
  mamba2::GenerationOptions options{.max_new_tokens = 58};
  options.sampling.temperature = 0;
  const auto prompt = demo::tokens_of("This is the ");
  std::printf("  This is the %s\n",
              demo::text_of(mamba2::generate(model, {prompt}, options)[0].ids).c_str());
}

void learn() {
  Run run = beginning();
  mamba2::Batches batches(demo::tokens_of(demo::rhyme()), run.options.batches);
  write(run.state.model);
  while (run.state.moments.steps < steps) {
    const auto report = one_step(run, batches);
    if (run.state.moments.steps % 20 == 0)
      std::printf("step %3d: loss %.1f\n", static_cast<int>(run.state.moments.steps), report.loss);
  }
  write(run.state.model);
}

bool same(const LanguageModelParameters<double>& a, const LanguageModelParameters<double>& b) {
  bool all = true;
  const auto look = [&](const ParameterInfo&, std::span<const double> x, std::span<const double> y) {
    all = all && std::equal(x.begin(), x.end(), y.begin());
  };
  walk(config(), look, a, b);
  return all;
}

// Eight steps without a break, and eight with one after the third, in which all is written to a
// file, forgotten, and read again.

void interrupted() {
  mamba2::Batches batches(demo::tokens_of(demo::rhyme()), beginning().options.batches);
  const auto advance = [&](Run& run, std::uint64_t until) {
    while (run.state.moments.steps < until) one_step(run, batches);
  };
  Run whole = beginning();
  advance(whole, 8);

  const auto folder = std::filesystem::temp_directory_path() / ("mamba2-" + std::to_string(::getpid()));
  {
    Run first = beginning();
    advance(first, 3);
    mamba2::save_training(first, folder);
  }
  Run second = mamba2::load_training<double>(folder);
  std::filesystem::remove_all(folder);
  advance(second, 8);
  std::printf("parameters with and without the break are the same to the last bit: %s\n",
              demo::yes(same(second.state.model.parameters(), whole.state.model.parameters())));
}

}  // namespace

int main() {
  std::printf("[decay]\n");
  decay();
  std::printf("[learn]\n");
  learn();
  std::printf("[interrupted]\n");
  interrupted();
}

// First, which of its parameters decay:
//
// @output decay
//
// Then it learns. Before, asked to go on with *This is the*, it says whatever the chance of its
// first values makes it say; the slash is the end of a line. After a hundred and twenty steps, each
// on four pieces of 64 characters:
//
// @output learn
//
// It has learnt the rhyme by heart, and that is all there was to learn: there is no other text, and
// so nothing to be asked about that it has not seen. For what it *understands*, one needs a longer
// text and a part of it kept aside.
//
// ::: figure rates
// The same rhyme at three rates, with one layer. A rate too low gets nowhere in a hundred steps;
// one too high gets nowhere at all.
// :::
//
// And a training that is interrupted:
//
// @output interrupted
//
// ## A text of your own {#training_command}
//
// The command `mamba2 train` is this chapter with a clock:
//
// ```sh
// build/bin/mamba2 train --text book.txt --out mine --minutes 30
// build/bin/mamba2 generate --model mine --prompt "Once"
// ```
//
// It learns a tokenizer from the text (a token for each byte, or `--vocab` of them), keeps the last
// tenth for questions, and shows the loss, the speed, the time that is left, and ten times on the
// way what the model writes by now. Ctrl-C saves all and says how to go on: `--resume mine`. What
// it saves is a model like any other. `--init-from` begins with a model that has learnt already,
// for example a published one.
//
// ::: tryit
// Train on what you have: a folder of your own notes, a novel, the chapters of this book
// (`--text chapters`). How small may the text be until the loss on the part that is kept aside
// *rises*, while that of the part that is learnt goes on falling?
// :::
//
// ## What has not changed {#training_unchanged}
//
// The model. It is the one of @chapter{language_model}, and its forward pass, its files and its
// tokenizer do not know that there is such a thing as training. And the gradients: nothing here
// looks inside of them. Another optimiser takes one function; another kind of mixer takes none.
//
// ## Exercises {#training_exercises}
//
// ::: exercise 1 Another schedule
// Half a cosine needs to know from the first step on when the last one comes. The *trapezoid* does
// not: up in a straight line, then level for as long as you like, and when you want to stop, down
// in a straight line. Write its rate.
// :::
//
// ::: exercise 2 AdamW, clipped
// One whole step for several parameters: clip all gradients together, then @eqref{eq:moments},
// @eqref{eq:adam} and @eqref{eq:decay} for each. Not all of them decay.
// :::
//
// ::: exercise 3 Batches of different sizes
// Some batches have fewer places than others. Each gives you the gradient of its own mean loss.
// Return the gradient of the mean over all places.
// :::
//
// ::: exercise 4 A task of your own
// Invent a task for a sequence model: sequences of tokens of which some can be known from those
// before, and others cannot. Then train a model from nothing that knows them. It has to be right at
// nine of ten such tokens, in sequences that it has not seen, after a few seconds of training.
// :::
//
// ## Further reading {#training_further}
//
// - [@kingma2015]: Adam; section 3 has the correction for a beginning at zero.
// - [@loshchilov2019]: why the W.
// - [@pascanu2013]: gradients that explode, and clipping.
// - [@dao2024], appendix D, for how the published models were trained; [@reference] marks `A_log`,
//   `D` and `dt_bias` with `_no_weight_decay`.
