// ## The program {#training_program}
//
// A model that learns something worth learning takes minutes, and its numbers are not the same on
// every machine. This chapter's program makes do with a nursery rhyme. It is built in a way that a
// reader notices at once and a model has to find out: each verse is a new line and then the verse
// before. It is learnt in double precision, so that you will see what is printed here.
//
// @quote src/demo/rhyme.hpp#rhyme

#include <demo/demo.hpp>
#include <demo/recall.hpp>
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

// A sequence of the task that comes further down: keys are letters, values are digits.

void show_recall(const char* what, const demo::Recall& task) {
  mamba2::Random random(3);
  const mamba2::Batch batch = demo::recall_batch(task, 1, random);
  const auto letter = [&](std::int64_t token) {
    const auto first_value = static_cast<std::int64_t>(2 + task.keys);
    if (token < 2) return "|."[token];
    return static_cast<char>(token < first_value ? 'a' + token - 2 : '0' + token - first_value);
  };
  std::printf("%-9s reads  ", what);
  for (const std::int64_t id : batch.ids) std::printf(" %c", letter(id));
  std::printf("\n%-9s answers", "");
  for (const std::int64_t target : batch.targets)
    std::printf(" %c", target == mamba2::not_asked ? ' ' : letter(target));
  std::printf("\n");
}

}  // namespace

int main() {
  std::printf("[decay]\n");
  decay();
  std::printf("[learn]\n");
  learn();
  std::printf("[interrupted]\n");
  interrupted();
  std::printf("[recall]\n");
  show_recall("one list", {.keys = 8, .values = 8, .pairs = 4});
  show_recall("two lists", {.keys = 8, .values = 8, .pairs = 4, .lists = 2, .pause = 4});
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
// ## What a state can hold {#training_recall}
//
// The rhyme is in the model's weights: it has seen it often. What a *state* holds is another
// question. To ask it, one needs texts that are new each time, in which what is said early is
// wanted later. The smallest of them is a list: some keys, each with a value, and then the same
// keys in another order. At each the model has to say the value.
//
// @output recall
//
// The task has a name, *multi-query associative recall* [@arora2024]. Keys and values are drawn
// anew for each sequence, so that there is nothing to learn by heart. Nobody can foretell them,
// either. So nobody is asked to: their targets are `not_asked`.
//
// @quote src/demo/recall.hpp#sequence
//
// What does a state of $N$ numbers for each channel have to do with it? To keep two keys apart, the
// model writes their values along two directions of the state, which are its $B$, and reads along
// them with $C$. Directions at right angles do not disturb each other. But in $N$ dimensions there
// are only $N$ of them, and with more keys than that something of one value is read with another.
//
// The model is small, one layer of width 16 with four heads of 8 channels, and the list is long
// beside it: twelve pairs, of 16 keys and 16 values. All models learn in the same way, for the same
// number of steps, from short lists at first. What differs is $N$, and the chance that the first
// weights are drawn with.
//
// ::: figure recall
// How many of 2400 questions a model answers rightly, in sequences that it has not seen, with the
// state size $N$. Each point is one training, four of each kind; the lines join their means.
// Recorded, as in the table below.
// :::
//
// The more there is room for, the more is recalled: that is the shape of the paper's Figure 8
// [@dao2024], with a much smaller task. The points of one $N$ are far apart where the state is
// small. Such a model has to find a clever way to share its room, and not every beginning leads to
// one. Where there is room enough, all of them find it.
//
// The second line is a model with one thing taken away. Its step sizes are the same for all tokens:
// each head forgets at a rate that it learns, but that no token can change. $B$ and $C$ are as
// before. This is done after each step of the training.
//
// @quote src/demo/recall.hpp#fixed
//
// @recorded recall accuracy
//
// On this task the loss is small, if there is one: the means lie close together beside the spread
// of the points. And why should it be large? Here is one list, which has to be kept to the end. A
// model that forgets nothing does well, and for that it needs no selection.
//
// ### When something must be forgotten {#training_forget}
//
// So let there be two lists in a sequence, with other values for the same keys, and let only the
// last one count. Then comes a pause of sixteen tokens, in which nothing happens, and then the
// questions. Four pairs are enough now, and the models have more room than they need: $N = 16$,
// width 32.
//
// @recorded recall two_lists
//
// To forget the first list, which is only a few tokens older than the second, a head has to forget
// fast. To keep the second one through the pause, it has to forget slowly. No fixed rate does both.
// A step size that depends on the token can: a large one where a list begins, and small ones in the
// pause, which neither write nor fade. @Chapter{selection} said that this is what selection is
// for. Here it is learnt, from answers alone, with every seed.
//
// ## What a good beginning is worth {#training_initialisation}
//
// A model could learn any step size and any rate. Does it matter, then, where they begin? The
// reference draws $\Delta$ between 0.001 and 0.1 and $-A$ between 1 and 16, so that the first heads
// of a fresh model remember from one token to a thousand (@chapter{selection}).
//
// It is easy to lose this without noticing. Frameworks like to fill all parameters anew once a
// model is made; and whoever writes a layer may think that any bias will do. Until February 2026 a
// widely used library of such layers [@fla] began Mamba-2's with a `dt_bias` of one for all heads,
// and the rates 1, 2, 3 and so on. No error is raised. The model trains, the loss falls.
//
// @quote src/demo/recall.hpp#forgetful
//
// With $\Delta = 1.3$ even the slowest head, the one of the rate 1, keeps $e^{-1.3}$ of its state
// from one token to the next: a quarter. After four tokens less than a hundredth is left. And what
// is not there has no gradient. That a value of sixty tokens ago should have been kept is nothing
// that such a model can hear.
//
// Here are the two lists once more, learnt from both beginnings, with the same seeds for all other
// weights. There is no pause before the questions, or one of 16 tokens, or one of 64.
//
// @recorded initialisation accuracy
//
// Without a pause nobody would notice anything. With the short one, one training in four stays
// behind. The long one takes all of them longer; so let us watch it.
//
// ::: figure initialisation
// The two lists with a pause of 64 tokens, learnt from both beginnings, with four seeds each.
// Recorded, as in the table above. Chance is one in eight.
// :::
//
// From the reference's beginning all four are above chance after a third of the steps, though not
// all have arrived when the training ends. From the careless one, three of four have learnt next to
// nothing by then. The fourth gets there in good time, for a step size depends on the token, too,
// and can be learnt. So a beginning does not settle *what* a model can learn. It settles how surely
// it does so, and that only where something must be kept for long. That may be why nobody saw the
// mistake: on texts in which the last few words are enough, there may be little to see.
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
// ## The book's own model {#training_own_model}
//
// So far, models have learnt rhymes and lists. Here is one that has learnt a book: this one, its
// text and its code. It lies in the folder `models/book`, as small as a photograph, and where the
// command `mamba2` is told no model, it takes this one.
//
// @recorded own_model size
//
// Its tokenizer has learnt from the same text (@chapter{text}), so that a token stands for some
// letters. That pays twice. The same number of steps goes through more of the text; and a state
// that has to remember a few tokens reaches further back.
//
// Two pages are kept from it altogether: @chapter{one_token_at_a_time} and the questions at the end
// of the book. What it needs for each byte of them is what counts, and that is watched while it
// learns.
//
// ::: figure own_model
// Bits for each byte, of the text that is learnt and of the two pages that are held out, over the
// training. Recorded, as in the tables.
// :::
//
// The lines part early. The text is small beside the model, and comes by four times; what is learnt
// of it by heart helps nobody who reads another page. So the line that counts falls more slowly,
// and in the end not at all. That is the time to stop.
//
// Is the result any good? A cross-entropy in bits per byte is what a compressor would need that
// trusted these predictions (@chapter{language_model}), so it can be held against compressors. To
// be fair to them they may read what the model has learnt, too: their figure is how much longer the
// packed text becomes when the two pages are appended. The third is a table that counts which byte
// has followed the last five, the last four and so on, and mixes these counts.
//
// @quote src/demo/own_model.hpp#order_five
//
// @recorded own_model bits_per_byte
//
// The others find long repetitions, and code repeats itself: an include, a line of a test. That
// alone brings them below what they need without having read the book. The model, in two bytes for
// each parameter, needs least. And what it writes?
//
// @recorded own_model text
//
// It has the words of the book, the shape of its sentences, the order of a page, the brackets of
// its code. It has no idea what it is talking about. A million parameters and some minutes on two
// cores are enough for the one and not for the other, and it is good to have seen where the border
// runs: everything from here to the largest models is the same code with larger numbers.
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
