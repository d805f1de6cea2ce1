#!/usr/bin/env python3
"""What the build links: test_links.py BUILD (made by Ninja)

A chapter's program, its figures, its tests and its exercises are linked with chapters up to its own, and nothing forces one in.
"""
import os
import re
import sys

PROGRAM = re.compile(r"^build bin/(chapter|figures|tests|solutions|stubs|exercises)_(\d\d)\b[^:\n]*: \S+ (.*)$", re.M)


def main(build):
    with open(os.path.join(build, "build.ninja"), encoding="utf-8") as rules:
        text = rules.read()
    problems, programs = [], 0
    for kind, number, inputs in PROGRAM.findall(text.replace("$\n", " ")):
        objects = {int(found) for found in re.findall(r"CMakeFiles/mamba2_(\d\d)\w*\.dir/", inputs)}
        programs += 1
        problems += [f"{kind}_{number} is linked with chapter {later}" for later in sorted(objects) if later > int(number)]
        if kind == "chapter" and int(number) not in objects:
            problems.append(f"{kind}_{number} is not linked with its own chapter")
        if "libmamba2.a" in inputs:
            problems.append(f"{kind}_{number} is linked with the whole library")
    problems += [f"a linker is told to look for a symbol: {found}" for found in sorted(set(re.findall(r"-Wl,(?:-u|--undefined|--whole-archive)\S*", text)))]
    print("\n".join(problems))
    print(f"{programs} programs, {len(problems)} problems")
    return 1 if problems or not programs else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
