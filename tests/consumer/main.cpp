// The operator of Mamba-2 in a program of one's own.
#include <mamba2/mamba2.hpp>

#include <cstdio>

int main() {
  mamba2::ScanInput<float> input;
  input.x = xt::ones<float>({1, 100, 2, 4});  // (batch, seqlen, nheads, headdim)
  input.dt = xt::zeros<float>({1, 100, 2});   // (batch, seqlen, nheads)
  input.A = -xt::ones<float>({2});            // (nheads)
  input.B = xt::ones<float>({1, 100, 1, 8});  // (batch, seqlen, ngroups, d_state)
  input.C = xt::ones<float>({1, 100, 1, 8});  // (batch, seqlen, ngroups, d_state)
  const auto [y, last_state] = mamba2::ssd(input);
  std::printf("%.4f %.4f\n", y(0, 0, 0, 0), y(0, 99, 1, 3));
}
