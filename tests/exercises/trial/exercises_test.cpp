// The grader of the chapter that is not there.
#include "exercises.hpp"

#include <exercises/grader.hpp>

GRADE(1, "an exception of the library") {
  exercises::out_of_range();
}
GRADE(2, "memory that is not there") {
  exercises::null_pointer();
}
GRADE(3, "a loop without an end") {
  exercises::endless();
}
GRADE(4, "a call without an end") {
  exercises::recursion(1);
}
GRADE(5, "an exception that is no std::exception") {
  exercises::throws_number();
}
GRADE(6, "a division by zero") {
  exercises::divides(0);
}
GRADE(7, "more memory than there is") {
  exercises::too_much();
}
GRADE(8, "an index of a tensor") {
  exercises::tensor_index();
}
GRADE(9, "an exception thrown further in") {
  exercises::from_within();
}
GRADE(10, "a number that is wrong, and nothing else") {
  int result = 0;
  exercises::wrong_number(result);
  grader::expect_close(result, 2, "the number");
}
