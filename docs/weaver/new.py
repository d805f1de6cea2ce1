"""new NAME: a chapter's skeleton, chapters/NN_NAME, that builds and passes its tests; what is written here says where what belongs.

Its number is the one that is planned for the name in docs/book.json, or the one after the last chapter that is there or planned.
"""
import json
import os
import re
import sys

from .chapters import chapters

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

FILES = {
    "src/mamba2/{name}.hpp": """\
/// \\file
/// \\brief {title}, in one function so far. Explained in @chapter{{{name}}}.
#pragma once

namespace mamba2 {{

/// \\brief Half of a number.
/// \\param x any number
/// \\return x / 2
template <class Real>
Real {name}(Real x);

}}  // namespace mamba2
""",
    "{folder}/{name}.cpp": """\
// # {title} {{#ch_{name}}}
// @summary One sentence that the contents show below the title.
//
// Why the reader needs this chapter, in one to three paragraphs.
//
// ::: figure idea
// What this figure shows, and what to look at in it.
// :::
//
// ## What it builds on {{#{name}_builds_on}}
//
// On no other chapter yet. Name those whose code is used.
//
// ## Shapes {{#{name}_shapes}}
//
// ::: shapes The names of this chapter
// | Name | Shape | What it is |
// |---|---|---|
// | `x` | scalar | what comes in |
// :::
//
// ## The idea {{#{name}_idea}}
//
// One idea at a time, then its code.

#include <mamba2/{name}.hpp>

namespace mamba2 {{

template <class Real>
Real {name}(Real x) {{
  return x / 2;
}}

// ## And what follows {{#{name}_follows}}
//
// The function is compiled for both types.

template float {name}(float);
template double {name}(double);

}}  // namespace mamba2
""",
    "{folder}/demo.cpp": """\
// ## The program {{#{name}_program}}
//
// It proves each new form equal to the last one, and prints the same on every machine.

#include <mamba2/{name}.hpp>

#include <cstdio>

int main() {{
  std::printf("[halves]\\n%.1f\\n", mamba2::{name}(3.0));
  std::printf("twice a half and the whole agree to 1e-12: %s\\n",
              2 * mamba2::{name}(3.0) == 3.0 ? "yes" : "no");
}}

// @output halves
//
// ::: figure again
// What the program computed, drawn from its own numbers.
// :::
//
// ## What has not changed {{#{name}_unchanged}}
//
// What of the model is still as it was.
//
// ## Exercises {{#{name}_exercises}}
//
// ::: exercise 1 Back again
// Write the function that undoes this chapter's.
// :::
//
// ::: exercise 2 Twice
// Take half of a number several times.
// :::
//
// ## Further reading {{#{name}_further}}
//
// - The paper [@dao2024].
""",
    "{folder}/figures/idea.dot": 'digraph {{ rankdir=LR; x -> half; }}\n',
    "{folder}/figures/again.dot": 'digraph {{ rankdir=LR; half -> x; }}\n',
    "{folder}/exercises.hpp": """\
// The exercises of this chapter.
#pragma once

namespace exercises {{

// 1. The number whose half is y.
double whole_of(double y);

// 2. Half of x, taken `times` times.
double halves(double x, int times);

}}  // namespace exercises
""",
    "{folder}/exercises_stub.cpp": """\
// The exercises: replace each throw by your code, then run ./book check {name}
#include "exercises.hpp"

#include <exercises/not_implemented.hpp>
#include <mamba2/{name}.hpp>

namespace exercises {{

// 1. The number whose half is y.
double whole_of(double y) {{
  throw not_implemented(1);
}}

// 2. Half of x, taken `times` times: none for 0.
double halves(double x, int times) {{
  throw not_implemented(2);
}}

}}  // namespace exercises
""",
    "{folder}/exercises_test.cpp": """\
// The grader of this chapter.
#include "exercises.hpp"

#include <exercises/grader.hpp>
#include <mamba2/{name}.hpp>

GRADE(1, "back again") {{
  for (const double x : {{0.0, -3.0, 7.5}})
    grader::expect_close(exercises::whole_of(mamba2::{name}(x)), x, "the whole");
}}

GRADE(2, "twice") {{
  grader::expect_close(exercises::halves(12.0, 0), 12.0, "no half at all");
  grader::expect_close(exercises::halves(12.0, 3), 1.5, "half of half of half");
}}
""",
    "{folder}/solutions.cpp": """\
// Our solutions.
#include "exercises.hpp"

#include <mamba2/{name}.hpp>

namespace exercises {{

//: 1
double whole_of(double y) {{
  return 2 * y;
}}
//: end

//: 2
double halves(double x, int times) {{
  for (int i = 0; i < times; ++i) x = mamba2::{name}(x);
  return x;
}}
//: end

}}  // namespace exercises
""",
    "{folder}/hints.md": """\
# 1
## Hint 1
What has to be done to a half to make it whole?

# 2
## Hint 1
A loop, and this chapter's function in it.
""",
    "{folder}/wrong_answers.json": """\
[
  {{"exercise": 1, "mistake": "halved once more", "replace": "2 * y", "with": "y / 2"}},
  {{"exercise": 1, "mistake": "squared", "replace": "2 * y", "with": "y * y"}},
  {{"exercise": 1, "mistake": "left as it is", "replace": "2 * y", "with": "y"}},
  {{"exercise": 2, "mistake": "once too often", "replace": "i < times", "with": "i <= times"}},
  {{"exercise": 2, "mistake": "once too few", "replace": "int i = 0", "with": "int i = 1"}},
  {{"exercise": 2, "mistake": "once only", "replace": "for (int i = 0; i < times; ++i)", "with": "if (times > 0)"}}
]
""",
}


def add_include(text, name):
    """The header that brings all others, with one more, in the order of the alphabet."""
    line = f"#include <mamba2/{name}.hpp>"
    lines = text.split("\n")
    includes = [k for k, other in enumerate(lines) if other.startswith("#include <mamba2/")]
    at = next((k for k in includes if lines[k] > line), includes[-1] + 1)
    return "\n".join([*lines[:at], line, *lines[at:]])


def main(given):
    if len(given) != 1:
        sys.exit("Which name?\nFor example:  ./book new state_spaces_again")
    name = given[0]
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        sys.exit(f"'{name}' is no name for a chapter: small letters, digits and _, as in chunked_scan.")
    listed = chapters(ROOT)
    if any(chapter.name == name for chapter in listed) or os.path.exists(os.path.join(ROOT, f"src/mamba2/{name}.hpp")):
        sys.exit(f"There is a '{name}' already.")
    with open(os.path.join(ROOT, "docs/book.json"), encoding="utf-8") as source:
        planned = {folder[3:]: int(folder[:2]) for folder in json.load(source).get("planned", {})}
    number = planned.get(name, max([*planned.values(), *(chapter.number for chapter in listed)], default=0) + 1)
    taken = next((chapter for chapter in listed if chapter.number == number), None)
    if taken:
        sys.exit(f"The number {number}, which is planned for '{name}', is that of {taken.folder}: rename one of the two folders.")
    values = {"name": name, "folder": f"chapters/{number:02d}_{name}", "title": name.replace("_", " ").capitalize()}
    for path, text in FILES.items():
        path = os.path.join(ROOT, path.format(**values))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text.format(**values))
    everything = os.path.join(ROOT, "src/mamba2/mamba2.hpp")
    with open(everything, encoding="utf-8") as source:
        text = add_include(source.read(), name)
    with open(everything, "w", encoding="utf-8") as out:
        out.write(text)
    print(f"{values['folder']} is there, and src/mamba2/{name}.hpp. How a chapter is written: chapters/README.md",
          f"Try it:  ./book run {number}   ./book check {number}   ./book serve", sep="\n")
    return 0
