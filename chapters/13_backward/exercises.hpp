// The exercises of this chapter.
#pragma once

namespace exercises {

// 1. The slope of softplus at x.
double slope(double x);

}  // namespace exercises
