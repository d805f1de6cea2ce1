// ## The program {#backward_program}
//
// It proves each new form equal to the last one, and prints the same on every machine.

#include <mamba2/activation_gradient.hpp>

#include <cstdio>

int main() {
  std::printf("[slope]\n%.1f\n", mamba2::softplus_derivative(0.0));
  std::printf("slope and one half agree to 1e-12: %s\n",
              mamba2::softplus_derivative(0.0) == 0.5 ? "yes" : "no");
}

// @output slope
//
// ::: figure idea
// The steps.
// :::
//
// ::: figure again
// The steps.
// :::
//
// ## What has not changed {#backward_unchanged}
//
// What of the model is still as it was.
//
// ## Exercises {#backward_exercises}
//
// ::: exercise 1 A slope
// Write the slope of softplus.
// :::
//
// ## Further reading {#backward_further}
//
// - The paper [@dao2024].
