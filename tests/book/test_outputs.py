#!/usr/bin/env python3
"""What the pages say that programs print is what they print: test_outputs.py HTML PROGRAMS

Runs chapter_NN again for each chapter and compares it with every output on its page.
"""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from pages import pages, sections  # noqa: E402


def main(folder, programs):
    problems, compared = [], 0
    for name, page in pages(folder).items():
        if "chapter" not in page.kind:
            continue
        number = int(re.search(r"Chapter (\d+)", page.article().find("p", "kicker")[0].text()).group(1))
        program = os.path.join(programs, f"chapter_{number:02d}")
        if not os.path.exists(program):
            problems.append(f"{name}: no program {program}")
            continue
        done = subprocess.run([program], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            problems.append(f"{name}: {program} ended with status {done.returncode}")
            continue
        printed = sections(done.stdout)
        for output in page.article().find("div", "output"):
            if "measured" in output.classes or "recorded" in output.classes:  # times, never the same twice; or not printed
                continue
            pre = output.find("pre")[0]
            tag = pre.attributes["data-tag"]
            compared += 1
            if pre.text() != printed.get(tag):
                problems.append(f"{name}: [{tag}] on the page:\n{pre.text()}\nprinted now:\n{printed.get(tag)}")
    print("\n".join(problems))
    print(f"{compared} outputs compared, {len(problems)} differ")
    return 1 if problems or not compared else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2]))
