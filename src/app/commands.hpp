// The commands of `mamba2`: each add_… puts one on the command line. What goes wrong at run time is thrown as mamba2::Error.
#pragma once

#include <CLI/CLI.hpp>

namespace app {

void add_bench(CLI::App& cli);
void add_generate(CLI::App& cli);
void add_info(CLI::App& cli);
void add_logits(CLI::App& cli);
void add_score(CLI::App& cli);
void add_tokenize(CLI::App& cli);
void add_train(CLI::App& cli);

}  // namespace app
