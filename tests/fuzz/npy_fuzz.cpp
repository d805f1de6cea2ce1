// A .npy file of ids, as the commands take them.
#include "target.hpp"

#include <app/npy.hpp>

FUZZ_TARGET(npy) {
  const auto ids = app::parse_ids(bytes, fuzz::file);
  fuzz::promise(ids.size() <= bytes.size(), "more ids than bytes");
  fuzz::promise(ids.size() == ids.shape(0) * ids.shape(1), "a shape that does not fit");
}
