"""Hints, one after the other, and solutions."""
import textwrap

from .chapters import chapters
from .grading import BOLD, DIM, OFF, ROOT, Stop, file_of, grade, keep, note, verdict
from .names import write_chapters
from .plain import plain_math


def hint_text(lines):
    known = {c.name: str(c.number) for c in chapters(ROOT)}
    text = write_chapters("\n".join(lines).strip("\n"), lambda name: known.get(name, name), space=" ")
    return "\n".join(textwrap.fill(line, 100, break_long_words=False, break_on_hyphens=False, subsequent_indent=line[:len(line) - len(line.lstrip())])
                     for line in plain_math(text).split("\n"))


def hint(exercise):
    total = len(exercise.hints)
    if not total:
        raise Stop(f"There are no hints for exercise {exercise.name}.")
    shown = int(note("hints", exercise.name) or 0)
    if shown >= total:
        print(f"That was the last hint for {exercise.name}; here are all of them again.")
        for count, (_, lines) in enumerate(exercise.hints, 1):
            print(f"\n{BOLD}Hint {count} of {total}{OFF}\n{hint_text(lines)}")
        print(f"\nThe solution:  ./book solution {exercise.name} --show")
        return
    keep(str(shown + 1), "hints", exercise.name)
    print(f"{BOLD}Hint {shown + 1} of {total}{OFF} for exercise {exercise.name}, {exercise.title}\n\n{hint_text(exercise.hints[shown][1])}\n")
    left = total - shown - 1
    print(f"{DIM}{left} more:  ./book hint {exercise.name}{OFF}" if left else f"{DIM}That was the last one.{OFF}")


def solution(chapter, exercise, show):
    if not show and not verdict(chapter, exercise):
        grade(chapter, shown=False)
    if not show and verdict(chapter, exercise) != "passed":
        print(f"Your answer to {exercise.name} has not passed yet.",
              f"  ./book check {exercise.name}             to grade it",
              f"  ./book hint {exercise.name}              for the next hint",
              f"  ./book solution {exercise.name} --show   to see the solution all the same", sep="\n")
        return 1
    if exercise.solution is None:
        raise Stop(f"There is no solution of exercise {exercise.name}.")
    print(f"{DIM}{file_of(chapter, 'solutions.cpp')}{OFF}\n")
    print("\n".join(exercise.solution[1]))
    return 0
