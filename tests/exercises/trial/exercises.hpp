// A chapter that is not there, whose exercises go wrong in every way in which a reader's file can.
#pragma once

namespace exercises {

void out_of_range();
void null_pointer();
void endless();
int recursion(int n);
void throws_number();
int divides(int n);
void too_much();
double tensor_index();
void from_within();
void wrong_number(int& result);

}  // namespace exercises
