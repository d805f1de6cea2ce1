"""reader COMMAND ...: what ./book says and does about chapters and their exercises.

  chapters | choose COMMAND [N|N.k|NAME|NAME.k] | prepare | pending [N] | check N[.k] | watch N[.k] | learn [N[.k]]
  hint N.k | solution N.k [--show] | reset N | progress | nearest WORD COMMAND...

choose prints what it found as variables for a shell: number (04), name, exercise (4.2 or nothing).
"""
import difflib
import os
import re
import shlex
import sys
import time

from .chapters import chapters
from .exercises import Exercises
from .grading import BOLD, DIM, GREEN, OFF, RED, ROOT, Stop, clear, file_of, grade, pending, prepare, reset, stamp, verdict
from .hints import hint, solution
from .learn import after, learn


# ---- choosing --------------------------------------------------------------------------------------------------------------


def list_chapters():
    return ["The chapters are:"] + [f"  {c.number:2}  {c.title}" for c in chapters(ROOT)]


def numbers(exercises):
    return " ".join(exercise.name for exercise in exercises) or "none"


def choose(command, wanted):
    """The chapter that is meant, its exercises, and the one of them that is meant, if one is."""
    alone = command in ("hint", "solution")
    if not wanted:
        raise Stop(f"Which {'exercise' if alone else 'chapter'}?", f"For example:  ./book {command} {'4.2' if alone else '4'}", "", *list_chapters())
    found = re.fullmatch(r"(\w+?)(?:\.(\d+))?", wanted)
    name, number = found.groups() if found else (wanted, None)
    chapter = next((c for c in chapters(ROOT) if name in (c.name, f"{c.label}_{c.name}") or (name.isdigit() and int(name) == c.number)), None)
    if chapter is None:
        raise Stop(f"There is no chapter {int(name)}." if name.isdigit() else f"'{name}' is no chapter.", "", *list_chapters())
    exercises = Exercises(chapter)
    exercise = next((e for e in exercises if number and e.number == int(number)), None)
    if number and exercise is None:
        raise Stop(f"There is no exercise {chapter.number}.{int(number)}.", f"Chapter {chapter.number} has: {numbers(exercises)}")
    if alone and exercise is None:
        first = next((e.name for e in exercises), "4.2")
        raise Stop("Which exercise?", f"For example:  ./book {command} {first}", f"Chapter {chapter.number} has: {numbers(exercises)}")
    if command in ("check", "watch", "learn", "reset") and not list(exercises):
        raise Stop(f"Chapter {chapter.number} has no exercises.")
    if command == "reset" and exercise:
        raise Stop("A chapter is reset as a whole.", f"To start chapter {chapter.number} again:  ./book reset {chapter.number}")
    return chapter, exercises, exercise


# ---- grading ---------------------------------------------------------------------------------------------------------------


def check(chapter, exercises, exercise):
    if not grade(chapter, exercise):
        return 1
    if exercise:
        print(f"Compare with ours:  ./book solution {exercise.name}")
        following = after((chapter, exercise))
        if following:
            print(f"Next: {following[1].name}, {following[1].title}.  ./book check {following[1].name}")
        return 0
    print(f"\nAll exercises of chapter {chapter.number} passed. Compare with ours:  ./book solution {next(iter(exercises)).name}")
    for following in [c for c in chapters(ROOT) if c.number > chapter.number][:1]:
        print(f"Next: chapter {following.number}, {following.title}.")
    return 0


def watch(chapter, exercise):
    own = file_of(chapter)
    while True:
        while stamp(own) is None:
            time.sleep(0.05)
        before = stamp(own)
        clear()
        print(f"{DIM}{time.strftime('%H:%M:%S')}  grading {own} at each save; Ctrl-C ends it{OFF}\n", flush=True)
        grade(chapter, exercise)
        sys.stdout.flush()
        while stamp(own) == before:
            time.sleep(0.1)


def progress():
    for chapter in pending(None):
        grade(chapter, shown=False)
    passed = total = 0
    for chapter in chapters(ROOT):
        exercises = list(Exercises(chapter))
        if exercises:
            print(f"{BOLD}Chapter {chapter.number}, {chapter.title}{OFF}")
        for exercise in exercises:
            known = verdict(chapter, exercise)
            words = {"passed": f"{GREEN}passed{OFF}", "not_implemented": f"{DIM}not started{OFF}",
                     "": f"{RED}does not compile{OFF}"}.get(known, f"{RED}not right yet{OFF}")
            print(f"  {exercise.name:<5} {exercise.title:<60} {words}")
            passed, total = passed + (known == "passed"), total + 1
    print(f"\n{passed} of {total} exercises passed.")


def nearest(word, commands):
    """The command that was meant, if one is near enough."""
    found = [c for c in commands if c.startswith(word)] or difflib.get_close_matches(word, commands, 1, 0.6)
    if found:
        print(found[0])


def run(command, given):
    if command == "chapters":
        print("\n".join(list_chapters()))
    elif command == "prepare":
        prepare()
    elif command == "progress":
        progress()
    elif command == "nearest":
        nearest(given[0], given[1:])
    elif command == "choose":
        chapter, _, exercise = choose(given[0], next((g for g in given[1:] if g != "--show"), ""))
        print(f"number={chapter.label} name={shlex.quote(chapter.name)} exercise={exercise.name if exercise else ''}")
    elif command == "learn":
        chapter, exercises, exercise = choose(command, given[0]) if given else (None, [], None)
        learn((chapter, exercise or next(iter(exercises))) if chapter else None)
    elif command == "pending":
        chosen = choose("run", given[0])[0] if given else None
        print(" ".join(c.label for c in pending(chosen)))
    else:
        chapter, exercises, exercise = choose(command, next((g for g in given if g != "--show"), ""))
        return {"check": lambda: check(chapter, exercises, exercise), "watch": lambda: watch(chapter, exercise), "hint": lambda: hint(exercise),
                "solution": lambda: solution(chapter, exercise, "--show" in given), "reset": lambda: reset(chapter)}[command]()
    return 0


def main(given):
    if not given:
        sys.exit(__doc__)
    os.chdir(ROOT)
    try:
        return run(given[0], given[1:])
    except Stop as stop:
        first, *others = stop.args
        red, off = (RED, OFF) if sys.stderr.isatty() else ("", "")
        print(f"{red}{first}{off}", *others, sep="\n", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print()
        return 0
