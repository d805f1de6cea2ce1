// The command `mamba2 bench`: that it measures what it is asked for; not how fast.
#include <support/command.hpp>
#include <support/testing.hpp>

#include <nlohmann/json.hpp>

using namespace testing;

#ifdef MAMBA2_APP

TEST_CASE("mamba2 bench measures what it is asked for", "[app]") {
  const std::string tiny = "bench --model '" + golden_path("lm/tiny").string() +
                           "' --scan 20 --prefill 9,70 --logits 5 --decode 2 --batch 1,3 --threads 1,2 --runs 1";
  for (const std::string dtype : {"float32", "bfloat16", "int8"}) {
    const Ran ran = run_mamba2(tiny + " --json --dtype " + dtype);
    CAPTURE(ran.err);
    REQUIRE(ran.status == 0);
    const auto report = nlohmann::json::parse(ran.out);
    CHECK(report["dtype"] == dtype);
    std::string seen;
    for (const auto& figure : report["figures"]) {
      seen += figure["what"].get<std::string>() + " " + figure["tokens"].dump() + " " + figure["batch"].dump() + " " +
              figure["threads"].dump() + "\n";
      CHECK(figure["tokens_per_second"].get<double>() > 0);
      CHECK(figure["limit"].get<double>() > 0);
      CHECK(figure["ratio"].get<double>() ==
            Approx(figure["tokens_per_second"].get<double>() / figure["limit"].get<double>()));
    }
    std::string want;
    for (const char* threads : {" 1\n", " 2\n"})
      for (const char* what : {"scan 20 1", "prefill 9 1", "prefill 70 1", "all logits 5 1", "decode 2 1", "write 2 1",
                               "decode 2 3", "write 2 3"})
        want.append(what).append(threads);
    CHECK(seen == want);
    REQUIRE(report["machine"].size() == 2);
    for (const auto& machine : report["machine"])
      for (const char* rate : {"register_flops_per_second", "product_flops_per_second", "bytes_per_second"})
        CHECK(machine[rate].get<double>() > 0);
    CHECK((report["times_float"].get<double>() == 1) == (dtype == "float32"));
  }
  const Ran table = run_mamba2(tiny);
  CHECK(table.status == 0);
  CHECK(table.out.find("tokens/s") != std::string::npos);
}

TEST_CASE("mamba2 bench refuses what makes no sense", "[app]") {
  for (const char* words : {"bench --size 131m", "bench --threads 0", "bench --prefill 0", "bench --dtype int4",
                            "bench --runs 0", "bench --prefill ten", "bench --decode -1", "bench --threads 1025",
                            "bench --scan 10,99999999999999999999", "bench --batch 1x"}) {
    CAPTURE(words);
    CHECK(run_mamba2(words).status == 2);
  }
  CHECK(run_mamba2("bench --model /nowhere").status == 1);
  CHECK(run_mamba2("bench --prefill 0").err.find("--prefill: expected a whole number from 1 to 1000000, got '0'") !=
        std::string::npos);
}

#endif
