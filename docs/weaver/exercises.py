"""exercises plan|names|problems|mistakes ...: what belongs to the exercises of a chapter. The one place that reads it.

  exercises_test.cpp   GRADE(2, "title: case"): the graders
  exercises_stub.cpp   not_implemented(2)
  hints.md             # 2, then ## Hint 1, ## Hint 2 ...
  solutions.cpp        between //: 2 and //: end
  wrong_answers.json   mistakes, each a replacement in a solution, that the grader has to refuse
  marks.txt            what the numbers of each mistake are known by again: an exercise, a mark, a mistake in each line

For the build:
  exercises plan --root ROOT --out DIR
      writes the wrong answers of all chapters as sources, DIR/NN/NN_wrong_K.cpp, and a table of them, DIR/NN/table.txt;
      prints a line for each chapter: its number and its programs
  exercises names --root ROOT --chapter NN     the exercises of a chapter: 4.1 4.2 ...
  exercises problems --root ROOT --chapter NN  what is missing or malformed, one line each
  exercises mistakes --root ROOT --chapter NN  what graders know of mistakes, for their option --mistakes
"""
import argparse
import json
import os
import re
from dataclasses import dataclass, field

from . import literate
from .chapters import chapters
from .report import write_if_changed

GRADE = re.compile(r'^GRADE\((\d+), *"((?:[^"\\]|\\.)*)"\)', re.M)
STUB = re.compile(r"\bnot_implemented\((\d+)\)")
DEFINED = re.compile(r"^(?![ }/#])[^({=;\n]*?\b(\w+)\s*[({=;]", re.M)  # what a line in column 0 defines
LEAST_WRONG_ANSWERS = 3


@dataclass
class WrongAnswer:
    mistake: str
    replace: str
    by: str
    see: str  # an equation's label, eq:matrix, or a section's, duality_masks; or nothing


@dataclass
class Exercise:
    number: int                                 # 2
    name: str                                   # 4.2
    title: str = ""                             # of the grader, without its case
    hints: list = field(default_factory=list)   # [(number of the first line, [lines])]
    solution: tuple = None                      # (number of the first line, [lines])
    wrong_answers: list = field(default_factory=list)
    signatures: list = field(default_factory=list)  # lines that declare what is to be written
    graded: bool = False
    has_stub: bool = False


class Exercises:
    """All exercises of a chapter; `errors`: (file, line, what is malformed)."""

    def __init__(self, chapter):
        self.chapter = chapter
        self.errors = []
        self.all = {}  # number -> Exercise
        self.read_graders()
        self.read_hints()
        self.solutions = chapter.read("solutions.cpp")
        for exercise in self.all.values():
            exercise.solution = literate.tagged(self.solutions, str(exercise.number))
            exercise.signatures = self.signatures(exercise)
        self.read_wrong_answers()
        self.marks = [line.split("\t") for line in self.chapter.read("marks.txt").splitlines()]

    def __iter__(self):
        return iter(exercise for _, exercise in sorted(self.all.items()) if exercise.graded)

    def of(self, number):
        if number not in self.all:
            self.all[number] = Exercise(number, f"{self.chapter.number}.{number}")
        return self.all[number]

    def file(self, name):
        return f"{self.chapter.folder}/{name}"

    def error(self, file, line, message):
        self.errors.append((self.file(file), line, message))

    def read_graders(self):
        for found in GRADE.finditer(self.chapter.read("exercises_test.cpp")):
            exercise = self.of(int(found.group(1)))
            exercise.graded = True
            exercise.title = exercise.title or found.group(2).split(": ")[0]
        for found in STUB.finditer(self.chapter.read("exercises_stub.cpp")):
            self.of(int(found.group(1))).has_stub = True

    def read_hints(self):
        exercise, seen = None, set()
        for number, line in enumerate(self.chapter.read("hints.md").split("\n"), 1):
            heading = re.match(r"(#{1,2})\s+(.*?)\s*$", line)
            if heading and heading.group(1) == "#":
                exercise = self.of(int(heading.group(2))) if heading.group(2).isdigit() else None
                if exercise is None or exercise.number in seen:
                    self.error("hints.md", number, "each exercise has one heading, such as '# 2'")
                    exercise = exercise or Exercise(0, "")
                seen.add(exercise.number)
            elif heading and exercise:
                want = f"Hint {len(exercise.hints) + 1}"
                if heading.group(2) != want:
                    self.error("hints.md", number, f"'## {want}' should stand here")
                exercise.hints.append((number + 1, []))
            elif exercise and exercise.hints:
                exercise.hints[-1][1].append(line)
            elif line.strip():
                self.error("hints.md", number, "text outside '# 2' and '## Hint 1'")

    def read_wrong_answers(self):
        try:
            entries = json.loads(self.chapter.read("wrong_answers.json") or "[]")
        except ValueError as problem:
            self.error("wrong_answers.json", getattr(problem, "lineno", 1), str(problem))
            return
        for position, entry in enumerate(entries, 1):
            missing = [key for key in ("exercise", "mistake", "replace", "with") if key not in entry]
            if missing:
                self.error("wrong_answers.json", 1, f'wrong answer {position}: no "{missing[0]}"')
            else:
                self.of(entry["exercise"]).wrong_answers.append(WrongAnswer(entry["mistake"], entry["replace"], entry["with"], entry.get("see", "")))

    def signatures(self, exercise):
        """What the reader has to define, as the stub has it: each function's lines up to its brace, with a semicolon."""
        lines, found = self.chapter.read("exercises_stub.cpp").split("\n"), []
        for k, line in enumerate(lines):
            if not re.search(rf"\bnot_implemented\({exercise.number}\)", line):
                continue
            first = next((j + 1 for j in range(k - 1, -1, -1) if not lines[j].strip() or lines[j].startswith(("//", "}"))), 0)
            head = "\n".join(lines[first:k + 1]).split(" {")[0]
            found += [*head.split("\n")[:-1], head.split("\n")[-1] + ";"]
        return found

    # ---- what is missing --------------------------------------------------------------------------------------------

    def problems(self):
        """What the tests refuse: everything malformed, everything that an exercise should have and has not."""
        found = [f"{file}:{line}: {message}" for file, line, message in self.errors]
        for name in ("exercises.hpp", "exercises_stub.cpp", "solutions.cpp", "hints.md", "wrong_answers.json"):
            if not self.chapter.exists(name):
                found.append(f"{self.file(name)} is missing")
        if not any(exercise.graded for exercise in self.all.values()):
            found.append("exercises_test.cpp grades nothing")
        for _, exercise in sorted(self.all.items()):
            if not exercise.graded:
                found.append(f"exercise {exercise.name} is graded nowhere: exercises_test.cpp has no `GRADE({exercise.number}, ...)`")
            if not exercise.hints:
                found.append(f"exercise {exercise.name}: hints.md has no hints under `# {exercise.number}`")
            if exercise.solution is None:
                found.append(f"exercise {exercise.name}: solutions.cpp has no `//: {exercise.number}` with its `//: end`")
            if not exercise.has_stub:
                found.append(f"exercise {exercise.name}: exercises_stub.cpp has no `not_implemented({exercise.number})`")
            misfits = [(wrong, problem) for wrong in exercise.wrong_answers if (problem := self.misfit(exercise, wrong))]
            found += [f"wrong answer to {exercise.name} ({wrong.mistake}): {problem}" for wrong, problem in misfits]
            found += [f"wrong answer to {exercise.name} ({wrong.mistake}): nothing in the chapters has the label `{wrong.see}`"
                      for wrong in exercise.wrong_answers if wrong.see and not self.place(wrong.see)]
            if len(exercise.wrong_answers) - len(misfits) < LEAST_WRONG_ANSWERS:
                found.append(f"exercise {exercise.name} needs at least three wrong answers, has {len(exercise.wrong_answers) - len(misfits)}")
        return found

    @staticmethod
    def misfit(exercise, wrong):
        """Why a wrong answer cannot be made of the solution, or None: its text has to occur there exactly once."""
        if exercise.solution is None:
            return "there is no solution"
        count = ("\n".join(exercise.solution[1]) + "\n").count(wrong.replace)
        if wrong.replace == wrong.by:
            return f"`{wrong.replace}` is replaced by itself"
        return None if count == 1 else f"`{wrong.replace}` {'does not occur' if count == 0 else 'occurs more than once'} in the solution"

    # ---- mistakes that are recognised ---------------------------------------------------------------------------------

    def known_mistakes(self):
        """What the graders' option --mistakes reads: the marks, each with the place of the book that speaks of the mistake."""
        see = {(e.name, wrong.mistake): self.place(wrong.see) for e in self.all.values() for wrong in e.wrong_answers if wrong.see}
        return "".join("\t".join([name, mark, mistake, see.get((name, mistake), "")]) + "\n" for name, mark, mistake in self.marks)

    def place(self, label):
        """An equation or a section as a reader finds it: equation 4.2, or "Passing the state on" in chapter 4. Or nothing."""
        for chapter in chapters(self.chapter.root):
            text = "".join(chapter.read(os.path.relpath(page, chapter.folder)) for page in [chapter.page, *chapter.parts, f"{chapter.folder}/demo.cpp"])
            equations = re.findall(r"\$\$[\s/]*\{#([\w:.-]+)\}", text)
            if label in equations:
                return f"equation {chapter.number}.{equations.index(label) + 1}"
            heading = re.search(rf"^// #+ (.*?)\s*\{{#{re.escape(label)}\}}", text, re.M)
            if heading:
                return f"“{heading.group(1)}” in chapter {chapter.number}"
        return None

    # ---- wrong answers as programs ------------------------------------------------------------------------------------

    def programs(self):
        """The wrong answers, several in one source: [(source, [(exercise, mistake)])]. Each exercise is graded by itself, so one
        source may be wrong in all of them, as long as no solution calls another exercise's function."""
        groups = []
        for exercise in self:
            for wrong in exercise.wrong_answers:
                if self.misfit(exercise, wrong):
                    continue
                group = next((g for g in groups if not any(self.entangled(exercise, other) for other, _ in g)), None)
                if group is None:
                    groups.append(group := [])
                group.append((exercise, wrong))
        return [(self.source(group), [(exercise.name, wrong.mistake) for exercise, wrong in group]) for group in groups]

    @staticmethod
    def entangled(one, other):
        """Whether two solutions cannot be wrong in one source: one of them mentions what the other defines."""
        if one is other:
            return True
        pieces = ["\n".join(exercise.solution[1]) for exercise in (one, other)]
        return any(re.search(rf"\b{name}\b", pieces[1 - k]) for k in (0, 1) for name in DEFINED.findall(pieces[k]))

    def source(self, group):
        """The solutions with the mistakes of a group in them."""
        lines = self.solutions.split("\n")
        for exercise, wrong in sorted(group, key=lambda pair: -pair[0].solution[0]):
            first, piece = exercise.solution
            text = "\n".join(piece) + "\n"
            lines[first - 1:first - 1 + len(piece)] = text.replace(wrong.replace, wrong.by).split("\n")[:-1]
        return "\n".join(lines)


def plan(root, out):
    for chapter in chapters(root):
        if not chapter.exists("exercises_test.cpp"):
            continue
        folder = os.path.join(out, chapter.label)
        programs, table = [], []
        for count, (source, wrong) in enumerate(Exercises(chapter).programs(), 1):
            programs.append(f"{chapter.label}_wrong_{count}")
            write_if_changed(os.path.join(folder, programs[-1] + ".cpp"), source)
            table += [f"{programs[-1]}\t{exercise}\t{mistake}\n" for exercise, mistake in wrong]
        write_if_changed(os.path.join(folder, "table.txt"), "".join(table))
        print(" ".join([chapter.label, *programs]))


def main(given):
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("what", choices=["plan", "names", "problems", "mistakes"])
    arguments.add_argument("--root", required=True)
    arguments.add_argument("--out", default="")
    arguments.add_argument("--chapter", default="")
    options = arguments.parse_args(given)
    if options.what == "plan":
        plan(options.root, options.out)
        return 0
    exercises = Exercises(next(c for c in chapters(options.root) if c.label == options.chapter))
    if options.what == "mistakes":
        print(exercises.known_mistakes(), end="")
        return 0
    found = exercises.problems() if options.what == "problems" else [exercise.name for exercise in exercises]
    print("\n".join(found))
    return 1 if found and options.what == "problems" else 0
