// What comes in from outside: the number of axes of an expression is looked at before it becomes a tensor.
#include <mamba2/error.hpp>
#include <support/testing.hpp>

#if __has_include(<xtensor/containers/xarray.hpp>)
#include <xtensor/containers/xarray.hpp>
#else
#include <xtensor/xarray.hpp>
#endif

using namespace mamba2;
using testing::message_of;

TEST_CASE("an array of the right number of axes becomes a tensor, its values converted", "[tensor]") {
  const xt::xarray<double> array{{1, 2, 3}, {4, 5, 6}};
  CHECK(testing::same(to_tensor<float, 2>("x", array, "(a, b)"), Tensor<float, 2>{{1, 2, 3}, {4, 5, 6}}));
  CHECK(testing::same(to_tensor<double, 2>("x", 2 * array, "(a, b)"), Tensor<double, 2>{{2, 4, 6}, {8, 10, 12}}));
  CHECK(testing::same(to_tensor<double, 1>("x", xt::view(array, 1), "(b)"), Tensor<double, 1>{4, 5, 6}));
}

TEST_CASE("an array of another number of axes is refused, with its shape", "[tensor]") {
  const xt::xarray<double> array = xt::ones<double>({2, 16, 4});
  CHECK(message_of<ShapeError>([&] { to_tensor<double, 2>("ids", array, "(batch, seqlen)"); }) ==
        "ids: expected 2 axes, (batch, seqlen), got shape (2, 16, 4)");
  CHECK(message_of<ShapeError>([&] { to_tensor<float, 1>("A", array, "(nheads)"); }) ==
        "A: expected 1 axis, (nheads), got shape (2, 16, 4)");
  CHECK(message_of<ShapeError>([&] { to_tensor<double, 4>("x", array + 1, "(batch, seqlen, nheads, headdim)"); }) ==
        "x: expected 4 axes, (batch, seqlen, nheads, headdim), got shape (2, 16, 4)");
}
