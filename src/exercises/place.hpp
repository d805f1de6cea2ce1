// Where in the reader's file something happened: an exception, a crash, a loop without an end.
#pragma once

#include <string>

namespace grader {

// Call before the process of an exercise is started: memory that both processes see.
void prepare_place();

// Call in the process of the exercise: from now on it is remembered where exceptions are thrown and signals come. A process that
// takes too long can be sent SIGTERM.
void watch_place();

// Call when the process has ended: "where:      chapters/04_chunked_scan/exercises.cpp, line 37" and what stands in that line;
// empty where nothing is known of it. Needs the line numbers (-g1) of the reader's file, and addr2line.
std::string place();

}  // namespace grader
