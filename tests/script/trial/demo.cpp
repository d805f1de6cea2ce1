// ## The program {#trial_program}

#include <cstdio>

int main() {
  std::printf("[trial]\nagree to 1e-12: yes\n");
}
