// ## The program {#text_program}
#include <mamba2/tokenizer.hpp>
int main() {}
