// # A trial {#ch_trial}
//
// A chapter that only the tests of ./book see.

namespace mamba2 {

double trial() {
  return 1;
}

}  // namespace mamba2
