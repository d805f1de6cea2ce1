// ## Interrupted, and going on {#training_kept}
//
// A training that has to go on as if nothing had been must keep all that its next step depends on:
// the parameters, both moments, the number of steps, the seed and the other options, and, where
// batches go on from each other, the state at the end of each row. The order of the text follows
// from seed and step. All numbers are stored as they are computed with, so that not a bit is lost.
// (A model that is only to be used is saved beside this, as in @chapter{language_model}.)
//
// Two things can go wrong. The program may be stopped *while* it writes, and then the file it was
// writing is worth nothing. So the numbers go into a file with a name of its own,
// `training-1200.safetensors`. Only when it is complete is `training.json`, which names it, put in
// the place of the old one, all at once; and only then is the old file removed. At each moment
// `training.json` names a complete file.
//
// And a file may be damaged on its way. A model with one wrong number still runs, and nobody would
// know. So a fingerprint of all numbers is kept with them.

#include <mamba2/error.hpp>
#include <mamba2/json.hpp>
#include <mamba2/model_directory.hpp>
#include <mamba2/safetensors.hpp>
#include <mamba2/training_checkpoint.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace mamba2 {

std::uint64_t fingerprint(std::span<const std::byte> bytes, std::uint64_t start) {
  std::uint64_t hash = start;
  for (const std::byte byte : bytes) hash = (hash ^ static_cast<std::uint64_t>(byte)) * 0x100000001b3u;
  return hash;
}

namespace {

using Json = nlohmann::ordered_json;
using Path = std::filesystem::path;

constexpr const char* format = "mamba2 training, version 1";
template <class Real>
constexpr ElementType element_type =
    std::is_same_v<Real, float> ? ElementType::float32 : ElementType::float64;

// The numbers are three sets of parameters, and the cache where there is one. One list of names and
// places serves for writing, for reading and for the fingerprint.

template <class Real>
struct NamedNumbers {
  std::string name;
  std::vector<std::size_t> shape;
  std::span<Real> values;
};

template <class Real>
std::vector<NamedNumbers<Real>> numbers_of(const LanguageModelConfig& config,
                                           LanguageModelParameters<Real>& parameters,
                                           Moments<Real>& moments, LanguageModelCache<Real>& cache) {
  std::vector<NamedNumbers<Real>> list;
  const auto add = [&](const std::string& prefix, LanguageModelParameters<Real>& set) {
    walk(
        config,
        [&](const ParameterInfo& info, std::span<Real> values) {
          list.push_back({prefix + info.name, info.shape, values});
        },
        set);
  };
  add("", parameters);
  add("mean.", moments.mean);
  add("square.", moments.square);
  for (std::size_t i = 0; i < cache.size(); ++i)
    for (const StateRef<Real>& state : cache[i].states())
      list.push_back({"cache." + std::to_string(i) + "." + state.name, state.shape, state.values});
  return list;
}

template <class Real>
std::uint64_t fingerprint_of(const std::vector<NamedNumbers<Real>>& list) {
  std::uint64_t hash = fingerprint({});
  for (const auto& numbers : list) hash = fingerprint(std::as_bytes(numbers.values), hash);
  return hash;
}

// ### What is said about them {#training_json}
//
// The options are written once, as a list of names and fields; to write is to walk over it, and to
// read as well.

template <class Options, class Visitor>
void visit_options(Options& o, Visitor&& visit) {
  visit("beta1", o.adamw.beta1);
  visit("beta2", o.adamw.beta2);
  visit("eps", o.adamw.eps);
  visit("weight_decay", o.adamw.weight_decay);
  visit("rate", o.schedule.peak);
  visit("last_rate", o.schedule.last);
  visit("warmup", o.schedule.warmup);
  visit("batch", o.batches.batch);
  visit("seqlen", o.batches.seqlen);
  visit("seed", o.batches.seed);
  visit("in_order", o.batches.in_order);
  visit("clip_norm", o.clip_norm);
  visit("accumulate", o.accumulate);
}

// Whole numbers of 64 bits are written as texts: many who read JSON would round them to a double.

template <class Real>
std::string description(const TrainingRun<Real>& run, const std::string& file, std::uint64_t hash) {
  Json json;
  json["format"] = format;
  json["numbers"] = file;
  json["fingerprint"] = std::to_string(hash);
  json["steps"] = run.state.moments.steps;
  json["seconds"] = run.seconds;
  json["text"] = std::to_string(run.text);
  json["loss"] = {{"smoothed", run.watch.smoothed}, {"seen", run.watch.seen}};
  if (run.watch.seen > 0) json["loss"]["lowest"] = run.watch.lowest;
  json["cache"] = run.state.cache.batch();
  visit_options(run.options,
                [&](const char* name, const auto& value) { json["options"][name] = value; });
  json["notes"] = run.notes;
  LanguageModelConfig config = run.state.model.config();
  json["ends"] =
      std::exchange(config.eos_token_ids, {});  // which the reference's configuration cannot say
  json["model"] = parse_json(config_text(config, CheckpointLayout::reference), "model");
  return json.dump(1) + "\n";
}

}  // namespace

// And now the three in their order: the numbers, what names them, and out with the old.

template <class Real>
void save_training(const TrainingRun<Real>& run, const Path& directory) {
  std::error_code failure;
  std::filesystem::create_directories(directory, failure);
  if (failure) throw FileError(directory.string() + ": cannot be made: " + failure.message());
  LanguageModelParameters<Real> parameters = run.state.model.parameters();  // copies: the list could
  Moments<Real> moments = run.state.moments;                                // be written through
  LanguageModelCache<Real> cache = run.state.cache;
  const auto list = numbers_of(run.state.model.config(), parameters, moments, cache);
  std::vector<NamedTensor<Real>> tensors;
  for (const auto& numbers : list) tensors.push_back({numbers.name, numbers.shape, numbers.values});

  const std::string file = "training-" + std::to_string(moments.steps) + ".safetensors";
  write_safetensors(directory / file, tensors, element_type<Real>);
  NewFile json(directory / "training.json");
  json.write(description(run, file, fingerprint_of(list)));
  json.commit();
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("training-") && name.ends_with(".safetensors") && name != file)
      std::filesystem::remove(entry.path(), failure);  // if it stays, it does no harm
  }
}

bool has_training(const Path& directory) {
  return std::filesystem::exists(directory / "training.json");
}

// ### Reading {#training_load}
//
// Who reads believes nothing. Every key has to be there, and of its kind; the name of the file must
// not lead out of the directory; the file must be large enough for the model, before any memory is
// set aside for it; each tensor must have the shape that the model asks for; and all numbers
// together the fingerprint.

namespace {

constexpr std::size_t most = std::numeric_limits<std::int64_t>::max();

void read_value(const JsonEntry& entry, double& value) {
  value = entry.real();
}
void read_value(const JsonEntry& entry, bool& value) {
  value = entry.flag();
}
void read_value(const JsonEntry& entry, std::size_t& value) {
  value = entry.whole(most);
}

std::uint64_t read_hash(const JsonEntry& entry) {
  const std::string text = entry.text();
  const bool digits =
      !text.empty() && text.size() <= 20 &&
      std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!digits) entry.expected("a number as text");
  return std::strtoull(text.c_str(), nullptr, 10);
}

std::string read_file_name(const JsonEntry& entry) {
  std::string name = entry.text();
  if (!name.starts_with("training-") || name.find('/') != std::string::npos)
    entry.expected("the name of a file beside this one, training-STEPS.safetensors");
  return name;
}

// A file of tensors is read by the functions of @chapter{language_model}, which check all that a
// file can get wrong by itself. Whether its tensors are *these* tensors is for us to check.

template <class Real>
void read_numbers(const Path& path, const std::vector<NamedNumbers<Real>>& list, std::uint64_t hash) {
  auto file = std::make_unique<InputFile>(path);
  std::vector<TensorEntry> entries = read_safetensors(*file);
  std::vector<std::unique_ptr<InputFile>> files;
  files.push_back(std::move(file));
  const Checkpoint checkpoint(std::move(files), std::move(entries));
  const auto refuse = [&](const std::string& reason) {
    throw FileError(path.string() + ": " + reason);
  };
  if (checkpoint.tensors().size() != list.size())
    refuse("holds " + std::to_string(checkpoint.tensors().size()) + " tensors, should hold " +
           std::to_string(list.size()));
  for (const auto& numbers : list) {
    const TensorEntry* const entry = checkpoint.find(numbers.name);
    if (entry == nullptr) refuse("tensor '" + numbers.name + "' is missing");
    if (entry->shape != numbers.shape || entry->type != element_type<Real>)
      refuse("tensor '" + numbers.name + "' is " + shape_text(entry->shape) + " of " +
             element_name(entry->type) + ", should be " + shape_text(numbers.shape) + " of " +
             element_name(element_type<Real>));
    checkpoint.read(*entry, numbers.values);
  }
  if (fingerprint_of(list) != hash) refuse("is damaged: its numbers are not those that were written");
}

// The sizes are believed last. Three sets of parameters of the model that `training.json` describes
// have to fit into the file that is there.

template <class Real>
void require_room(const LanguageModelConfig& config, std::size_t rows, const Path& path) {
  double numbers = 3 * static_cast<double>(parameter_count(config));
  for (const Branch& branch : config.branches())
    numbers += static_cast<double>(rows) * static_cast<double>(branch.mixer->remembered());
  if (static_cast<double>(InputFile(path).size()) < numbers * sizeof(Real))
    throw FileError(path.string() + ": is too short for the model that training.json describes");
}

LanguageModelConfig read_model(const JsonEntry& top, const std::string& where) {
  LanguageModelConfig config = parse_config(top.require("model").value().dump(), where + ": model");
  const JsonEntry ends = top.require("ends");
  for (std::size_t i = 0; i < ends.array().size(); ++i)
    config.eos_token_ids.push_back(static_cast<std::int64_t>(ends.element(i).whole(most)));
  return config;
}

// What is left are the options and how far the training had come.

template <class Real>
void read_progress(const JsonEntry& top, TrainingRun<Real>& run) {
  const JsonEntry options = top.require("options"), loss = top.require("loss"),
                  notes = top.require("notes");
  const auto read = [&](const char* name, auto& value) { read_value(options.require(name), value); };
  visit_options(run.options, read);
  run.options.check();
  run.seconds = top.require("seconds").real();
  run.text = read_hash(top.require("text"));
  run.watch.smoothed = loss.require("smoothed").real();
  run.watch.seen = loss.require("seen").whole(most);
  if (run.watch.seen > 0) run.watch.lowest = loss.require("lowest").real();
  for (const auto& [name, value] : notes.object().items()) run.notes[name] = notes.at(name).text();
}

}  // namespace

template <class Real>
TrainingRun<Real> load_training(const Path& directory) {
  const Path path = directory / "training.json";
  const auto json = parse_json(read_text_file(path), path.string());
  const JsonEntry top(json, path.string() + ": ");
  if (top.require("format").text() != format) top.at("format").expected(format);
  const LanguageModelConfig config = read_model(top, path.string());
  const Path numbers = directory / read_file_name(top.require("numbers"));
  const std::size_t rows = top.require("cache").whole(1U << 16);
  require_room<Real>(config, rows, numbers);

  auto parameters = zero_parameters<Real>(config);
  TrainingRun<Real> run{.state = TrainingState<Real>(LanguageModel<Real>(config, parameters)),
                        .options = {}};
  TrainingState<Real>& state = run.state;
  state.moments.steps = top.require("steps").whole(most);
  if (rows > 0) state.cache = state.model.empty_cache(rows);
  read_numbers(numbers, numbers_of(config, parameters, state.moments, state.cache),
               read_hash(top.require("fingerprint")));
  state.model.update([&](auto& own) { own = std::move(parameters); });
  read_progress(top, run);
  return run;
}

template void save_training(const TrainingRun<float>&, const Path&);
template void save_training(const TrainingRun<double>&, const Path&);
template TrainingRun<float> load_training(const Path&);
template TrainingRun<double> load_training(const Path&);

}  // namespace mamba2
