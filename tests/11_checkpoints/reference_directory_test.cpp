// Models in the reference's layout, whose weights are PyTorch's files.
#include <mamba2/error.hpp>
#include <mamba2/model_directory.hpp>
#include <mamba2/pytorch_file.hpp>
#include <support/files.hpp>
#include <support/models.hpp>
#include <support/testing.hpp>

#include <algorithm>

using namespace mamba2;
using namespace testing;
namespace fs = std::filesystem;

namespace {

LanguageModel<float> small_model(std::uint64_t seed = 11) {
  return {{.n_layer = 2,
           .vocab_size = 45,
           .pad_vocab_size_multiple = 8,
           .mixer = Mamba2Config{.d_model = 12, .d_state = 5, .headdim = 3, .chunk_size = 7}},
          seed};
}

std::string refused_model(const fs::path& directory) {
  return message_of<FileError>([&] { load_language_model<float>(directory); });
}

}  // namespace

TEST_CASE("there are two kinds of files, and safetensors are looked for first", "[pytorch]") {
  REQUIRE(checkpoint_formats().size() == 2);
  CHECK(checkpoint_formats()[0].file == std::string("model.safetensors"));
  CHECK(checkpoint_formats()[1].file == std::string("pytorch_model.bin"));
  const TemporaryDirectory directory;
  CHECK(
      refused_model(directory.path())
          .ends_with("holds no weights (looked for model.safetensors, model.safetensors.index.json, pytorch_model.bin, "
                     "pytorch_model.bin.index.json)"));
}

TEMPLATE_TEST_CASE("the golden logits from PyTorch's files", "[pytorch][language_model]", float, double) {
  for (const std::string name : {"lm/tiny", "lm/mamba1"}) {
    const auto model = load_language_model<TestType>(golden_path(name));
    const auto ids = load_golden<std::int64_t, 2>(name, "input_ids");
    CAPTURE(name);
    CHECK(relative_error(model.forward(ids), load_golden<double, 3>(name, "logits")) < golden_tolerance<TestType>);
  }
}

TEST_CASE("a model saved as the reference saves it loads as it was", "[pytorch][directory]") {
  const auto model = small_model();
  const TemporaryDirectory directory;
  save_language_model(model, directory.path());
  CHECK(fs::exists(directory / "pytorch_model.bin"));
  const auto again = load_language_model<float>(directory.path());
  CHECK(again.config() == model.config());
  bool same = true;
  walk(
      model.config(), [&](const auto&, auto a, auto b) { same = same && std::equal(a.begin(), a.end(), b.begin()); },
      model.parameters(), again.parameters());
  CHECK(same);
  save_language_model(small_model(99), directory.path());  // over itself
  CHECK(message_of<FileError>([&] {
          save_language_model(model, directory.path(), CheckpointLayout::hugging_face);
        }).ends_with("pytorch_model.bin: other weights are already here; save to a directory of its own"));
}

TEST_CASE("parameters that share their numbers are refused", "[pytorch][directory][hostile]") {
  const auto model = small_model();
  const TemporaryDirectory directory;
  save_language_model(model, directory.path());
  std::vector<NamedTensor<float>> tensors;
  walk(
      model.config(),
      [&](const ParameterInfo& info, auto values) { tensors.push_back({info.name, info.shape, values}); },
      model.parameters());
  const fs::path file = directory / "pytorch_model.bin";
  write_pytorch_file(file, tensors);
  CHECK_NOTHROW(load_language_model<float>(directory.path()));
  const auto find = [&](const std::string& name) -> NamedTensor<float>& {
    return *std::find_if(tensors.begin(), tensors.end(), [&](const auto& tensor) { return tensor.name == name; });
  };
  find("backbone.layers.1.norm.weight").data = find("backbone.layers.0.norm.weight").data;
  write_pytorch_file(file, tensors);
  const std::size_t bytes = 4 * parameter_count(model.config());
  CHECK(refused_model(directory.path()) == directory.path().string() + ": the parameters claim " +
                                               std::to_string(bytes) + " bytes of " + std::to_string(bytes - 4 * 12) +
                                               "; tensors other than a tied head share their numbers");
}
