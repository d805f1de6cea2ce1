// The command `mamba2`: 0 for success, 1 for an error, 2 for a command line that makes no sense.
#include "commands.hpp"

#include <mamba2/error.hpp>
#include <mamba2/mapped_file.hpp>

#include <csignal>
#include <exception>
#include <iostream>
#include <new>

namespace {

// Ctrl-C and its like: leave no half-written file, then end as if the signal had not been caught.
extern "C" void end_by_signal(int signal) {
  mamba2::remove_unfinished_files();
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

int fail(const char* reason) {
  std::cout.flush();
  std::cerr << "mamba2: " << reason << "\n";
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, end_by_signal);

  CLI::App cli{
      "Mamba-2 language models: let them write, ask how well they predict, look at them.\n\n"
      "A model is a directory: config.json and the weights, as model.safetensors or pytorch_model.bin, in one file or\n"
      "several; for texts, tokenizer.json too. Those of the reference (state-spaces/mamba2-130m, ...) and their\n"
      "Hugging Face conversions both work. The reference's come without tokenizer.json: it is GPT-NeoX-20B's.",
      "mamba2"};
  cli.footer("'mamba2 COMMAND --help' explains a command. Exit status: 0 success, 1 error, 2 wrong usage.");
  cli.require_subcommand(1);
  cli.get_formatter()->column_width(34);
  app::add_generate(cli);
  app::add_logits(cli);
  app::add_score(cli);
  app::add_tokenize(cli);
  app::add_train(cli);
  app::add_info(cli);
  app::add_bench(cli);

  try {
    cli.parse(argc, argv);
    std::cout.flush();
    return std::cout ? 0 : fail("cannot write to standard output");
  } catch (const CLI::ParseError& error) {
    return cli.exit(error) == 0 ? 0 : 2;
  } catch (const mamba2::Error& error) {
    return fail(error.what());
  } catch (const std::bad_alloc&) {
    return fail("not enough memory");
  } catch (const std::exception& error) {
    return fail(error.what());
  }
}
