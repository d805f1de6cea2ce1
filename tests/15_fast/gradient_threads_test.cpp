#include <mamba2/model_gradient.hpp>
#include <mamba2/parallel.hpp>
#include <support/testing.hpp>
#include <support/training_run.hpp>

#include <algorithm>

using namespace mamba2;

TEST_CASE("gradients of a model do not depend on threads", "[threads]") {
  const LanguageModel<double> model(testing::training_config(), testing::training_parameters<double>("init"));
  const auto [ids, targets] = testing::training_batch(0);
  const auto want = testing::training_parameters<double>("first_gradient");
  const std::size_t before = num_threads();
  set_num_threads(1);
  auto one = zero_parameters<double>(model.config());
  loss_and_gradients(model, ids, targets, one);
  for (const std::size_t threads : {2u, 3u}) {
    set_num_threads(threads);
    auto gradients = zero_parameters<double>(model.config());
    loss_and_gradients(model, ids, targets, gradients);
    CHECK(testing::parameter_distance(testing::training_config(), gradients, want) <
          testing::gradient_tolerance<double>);
    const auto a = parameter_spans(gradients), b = parameter_spans(one);
    for (std::size_t i = 0; i < a.size(); ++i) CHECK(std::equal(a[i].begin(), a[i].end(), b[i].begin()));
  }
  set_num_threads(before);
}
