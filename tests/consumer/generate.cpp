// A published model in a program of one's own: generate DIRECTORY "How the text begins"
#include <mamba2/mamba2.hpp>

#include <cstdio>

int main(int, char** argv) {
  const auto model = mamba2::load_language_model<float>(argv[1]);  // config.json and the weights
  const auto tokenizer = mamba2::load_tokenizer(argv[1]);          // tokenizer.json
  mamba2::StreamDecoder text(tokenizer);
  const mamba2::GenerationOptions options{.max_new_tokens = 50,
                                          .stop_ids = {0},  // <|endoftext|>
                                          .vocab_size = tokenizer.vocab_size(),
                                          .sampling = {.temperature = 0.8, .top_p = 0.95}};
  mamba2::generate(model, {tokenizer.encode(argv[2])}, options, [&](std::size_t, std::int64_t id) {
    std::fputs(text.push(id).c_str(), stdout);
    return mamba2::GoOn::yes;
  });
  std::puts(text.finish().c_str());
}
