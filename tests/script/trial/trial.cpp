// # A trial {#ch_trial}
//
// A chapter that only the tests of ./book see.
//
// ## Half of it {#trial_half_life}
//
// $$ h = 1 $$ {#eq:one}
//
// $$ e^{A \Delta t} = \tfrac12 $$
//   {#eq:trial}

namespace mamba2 {

double trial() {
  return 1;
}

}  // namespace mamba2
