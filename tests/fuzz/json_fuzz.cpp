// Any JSON. Whatever is accepted has to mean the same when it is written and read again.
#include "target.hpp"

#include <mamba2/json.hpp>

#include <nlohmann/json.hpp>

FUZZ_TARGET(json) {
  const mamba2::JsonLimits limits{.bytes = 100'000, .depth = 16, .values = 10'000};
  const nlohmann::json value = mamba2::parse_json(bytes, fuzz::file, limits);
  fuzz::promise(mamba2::parse_json(value.dump(), fuzz::file) == value, "JSON that changes when it is written and read");
}
