#!/usr/bin/env python3
"""The weaver on small books made for the purpose: what it makes of good ones, and what it says about bad ones.

test_weaver.py [NAME...]   (the root of the project is found from this file's place)
"""
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import types
import unittest
import urllib.error
import urllib.request
import xml.etree.ElementTree as xml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOCS = os.path.join(ROOT, "docs")
WEAVER = [sys.executable, os.path.join(DOCS, "weaver")]
sys.dont_write_bytecode = True
sys.path.insert(0, DOCS)
from weaver import api, bind, builds_on, chapters, doxygen, exercises, literate, plain, reference, weave  # noqa: E402
from weaver.code import highlight  # noqa: E402
from weaver.doxygen import TOKEN  # noqa: E402
from weaver.report import Report  # noqa: E402

HEAD = "// # A trial {#ch_trial}\n// @summary One sentence.\n//\n"
BOOK = {"title": "A small book", "subtitle": "", "parts": [{"name": "Part I", "title": "All", "begins": "trial"}, {"name": "Part II", "title": "Later", "begins": "more"}],
        "planned": {"02_more": "More of it"}, "front": ["index"], "back": ["references"]}
REFERENCES = "# References {#references}\n\n@references\n\n[@knuth]: Knuth 1984 | Donald Knuth. *Literate Programming.*\n"
RECORD = """command:  build/bin/record_01 run
seeds:    1 2 3
commit:   3ed16be0fc9d
machine:  A & B, 2 processors
threads:  1
date:     2026-11-27
duration: 6 min 5 s

[first_steps]
step 1: 0.51
[table]
N  accuracy
4      31 %
[empty]
"""
CHAPTER = "chapters/01_trial/trial.cpp"
DEMO = "chapters/01_trial/demo.cpp"


class SmallBook(unittest.TestCase):
    """A book of one chapter in a folder of its own."""

    def setUp(self):
        self.root = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.root)
        self.put("docs/book.json", json.dumps(BOOK))
        self.put("docs/index.md", "# A small book {#index}\n\n@contents\n")
        self.put("docs/references.md", REFERENCES)
        self.put("outputs/01.txt", "[first]\none\ntwo\n\n[second]\nthree\n[empty]\n")
        self.put("figures/01/curve.svg", "<svg></svg>")

    def put(self, path, text):
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)

    def chapter(self, prose, code="\nint x = 1;\n"):
        """A chapter whose prose starts on line 4."""
        self.put(CHAPTER, HEAD + "".join(f"// {line}".rstrip() + "\n" for line in prose.split("\n")) + code)

    def weave(self, *arguments):
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            status = weave.main(["--root", self.root, "--outputs", os.path.join(self.root, "outputs"), "--figures",
                                 os.path.join(self.root, "figures"), "--data", os.path.join(self.root, "data"), "--out", os.path.join(self.root, "woven"), *arguments])
        return types.SimpleNamespace(returncode=status, stderr=said.getvalue())

    def refuses(self, prose, line, message, path=CHAPTER):
        """The weaver refuses a chapter of this prose, and says so with this file and line."""
        if prose is not None:
            self.chapter(prose)
        done = self.weave()
        self.assertEqual(done.returncode, 1, f"woven without an error: {prose!r}\n{done.stderr}")
        self.assertIn(f"{path}:{line}: error: {message}", done.stderr)
        self.assertFalse(os.path.exists(os.path.join(self.root, "woven")), "wrote pages of a book with errors")

    def woven(self, prose, code="\nint x = 1;\n"):
        """(Markdown, tokens) of a chapter of this prose."""
        self.chapter(prose, code)
        done = self.weave()
        self.assertEqual(done.stderr, "")
        self.assertEqual(done.returncode, 0)
        with open(os.path.join(self.root, "woven", "ch_trial.md"), encoding="utf-8") as markdown, \
                open(os.path.join(self.root, "woven", "ch_trial.json"), encoding="utf-8") as tokens:
            return markdown.read(), list(json.load(tokens).values())

    def html(self, prose):
        return " ".join(token.get("html", "") for token in self.woven(prose)[1])


class Errors(SmallBook):
    """Each mistake is named, with the chapter's own line."""

    def test_title(self):
        self.put(CHAPTER, "// A trial\n\nint x;\n")
        self.refuses(None, 1, "the first line must be '// # Title {#ch_name}'")

    def test_chapter_id(self):
        self.put(CHAPTER, "// # A trial {#ch_other}\n\nint x;\n")
        self.refuses(None, 1, "the chapter's id must be 'ch_trial'")

    def test_unknown_box(self):
        self.refuses("Text.\n\n::: remark\nText.\n:::", 6, "unknown box 'remark'")

    def test_unclosed_box(self):
        self.refuses("::: keyidea\nText.", 4, "unclosed box '::: keyidea'")

    def test_unclosed_box_before_code(self):
        self.put(CHAPTER, HEAD + "// ::: aside\n// Text.\n\nint x;\n\n// :::\n")
        self.refuses(None, 4, "unclosed box '::: aside'")
        self.refuses(None, 9, "':::' closes nothing")

    def test_stray_end_of_box(self):
        self.refuses("Text.\n:::", 5, "':::' closes nothing")

    def test_unclosed_math(self):
        self.refuses("One $x$ and\nanother $y.", 5, "unclosed $")

    def test_math_over_paragraphs(self):
        self.refuses("A $x\n\ny$ b", 4, "unclosed $")

    def test_unclosed_display(self):
        self.refuses("Text\n\n$$ x = y", 6, "unclosed $$")

    def test_unclosed_fence(self):
        self.refuses("Text.\n\n```cpp\nint x;", 6, "unclosed ```")

    def test_empty_fence(self):
        self.refuses("Text.\n\n```\n\n```", 6, "empty code block")

    def test_unclosed_backtick(self):
        self.refuses("Some `code", 4, "unclosed `")

    def test_duplicate_label(self):
        self.refuses("$$ x $$ {#eq:one}\n\n$$ y $$ {#eq:one}", 6, "the equation label 'eq:one' is used before")

    def test_missing_label(self):
        self.refuses("See\n@eqref{eq:none}.", 5, "no equation 'eq:none'")

    def test_missing_figure_reference(self):
        self.refuses("See @figref{none}.", 4, "no figure 'none'")

    def test_missing_output(self):
        self.refuses("@output third", 4, "chapter_01 prints no section [third] (it prints: first, second, empty)")

    def test_empty_output(self):
        self.refuses("@output empty", 4, "the section [empty] that chapter_01 prints is empty")

    def test_no_output_at_all(self):
        os.remove(os.path.join(self.root, "outputs/01.txt"))
        self.refuses("@output first", 4, "nothing captured from chapter_01")

    def test_missing_measurement(self):
        self.refuses("@measured first", 4, "nothing captured from figures.cpp")
        self.put("data/01/measured.txt", "[first]\n9 s\n")
        self.refuses("@measured second", 4, "figures.cpp prints no section [second] (it prints: first)")

    def record(self, text):
        self.put("chapters/01_trial/recorded/run.txt", text)

    def test_missing_record(self):
        self.refuses("@recorded run table", 4, "no record 'chapters/01_trial/recorded/run.txt'")
        self.record(RECORD)
        self.refuses("@recorded run other", 4, "chapters/01_trial/recorded/run.txt holds no section [other] (it holds: first_steps, table, empty)")
        self.refuses("@recorded run empty", 4, "the section [empty] that chapters/01_trial/recorded/run.txt holds is empty")

    def test_record_without_what_it_has_to_say(self):
        self.record(RECORD.replace("threads:", "# threads").replace("date:", "day:"))
        self.refuses("@recorded run table", 4, "chapters/01_trial/recorded/run.txt: its head does not say: threads, date")

    def test_record_of_no_commit(self):
        self.record(RECORD.replace("3ed16be0fc9d", "3ed16be and changes"))
        self.refuses("@recorded run table", 4, "chapters/01_trial/recorded/run.txt: it was not made by a commit, but by '3ed16be and changes'")

    def test_record_that_nothing_repeats(self):
        self.record(RECORD.replace("[first_steps]", "[last_steps]"))
        self.refuses("@recorded run table", 4, "chapters/01_trial/recorded/run.txt: it has no section [first_steps], which a test repeats")

    def test_missing_figure(self):
        self.refuses("::: figure other\nCaption.\n:::", 4, "no figure 'other'")

    def test_figure_twice(self):
        self.refuses("::: figure curve\nA.\n:::\n\n::: figure curve\nB.\n:::", 8, "the figure 'curve' stands on this page twice")

    def test_missing_quote(self):
        self.put("src/a.hpp", "//: one\nint a;\n//: end\n")
        self.refuses("@quote src/a.hpp#two", 4, "no '//: two' … '//: end' in src/a.hpp")
        self.refuses("Text.\n\n@quote src/b.hpp#one", 6, "no file 'src/b.hpp' to quote")

    def test_quote_without_end(self):
        self.put("src/a.hpp", "//: one\nint a;\n//: two\nint b;\n//: end\n")
        self.refuses("@quote src/a.hpp#one", 4, "no '//: one'")

    def test_empty_quote(self):
        self.put("src/a.hpp", "//: one\n\n//: end\n")
        self.refuses("@quote src/a.hpp#one", 4, "no '//: one'")

    def exercise(self, hints="# 1\n## Hint 1\nThink.\n", solutions="//: 1\nint f();\n//: end\n"):
        self.put("chapters/01_trial/hints.md", hints)
        self.put("chapters/01_trial/solutions.cpp", solutions)

    def test_exercise_without_hints(self):
        self.exercise(hints="# 2\n## Hint 1\nThink.\n")
        self.refuses("Text.\n\n::: exercise 1 Do\nThis.\n:::", 6, "no hints for exercise 1.1 in chapters/01_trial/hints.md")
        self.refuses(None, 1, "exercise 1.2, which the chapter's page does not have", "chapters/01_trial/hints.md")

    def test_exercise_without_solution(self):
        self.exercise(solutions="//: 2\nint f();\n//: end\n")
        self.refuses("::: exercise 1 Do\nThis.\n:::", 4, "no solution of exercise 1.1 in chapters/01_trial/solutions.cpp")

    def test_hints_out_of_order(self):
        self.exercise(hints="# 1\n## Hint 2\nThink.\n")
        self.refuses("::: exercise 1 Do\nThis.\n:::", 2, "'## Hint 1' should stand here", "chapters/01_trial/hints.md")

    def test_error_within_a_hint(self):
        self.exercise(hints="# 1\n## Hint 1\nThink of\n$x.\n")
        self.refuses("::: exercise 1 Do\nThis.\n:::", 4, "unclosed $", "chapters/01_trial/hints.md")

    def test_exercise_with_a_chapters_number(self):
        self.refuses("::: exercise 2.1 Do\nThis.\n:::", 4, "an exercise needs a number and a title: '::: exercise 2 Title'")

    def test_hints_with_a_chapters_number(self):
        self.exercise(hints="# 1.1\n## Hint 1\nThink.\n")
        self.refuses("::: exercise 1 Do\nThis.\n:::", 1, "each exercise has one heading", "chapters/01_trial/hints.md")

    def test_exercise_that_is_not_there(self):
        self.refuses("Do\n@exercise{3}.", 5, "no exercise 1.3")
        self.refuses("Do @exercise{nowhere.3}.", 4, "no chapter 'nowhere'")

    def test_chapter_that_is_not_there(self):
        self.refuses("One.\n\nAs @chapter{trial} and\n@chapter{nowhere} say.", 7, "no chapter 'nowhere'")
        self.refuses("See @chapters{trial and\nnowhere}.", 4, "no chapter 'nowhere'")
        self.refuses('\\ref ch_trial "@chapter{nowhere}"', 4, "no chapter 'nowhere'")
        self.refuses("::: aside On @chapter{nowhere}\nText.\n:::", 4, "no chapter 'nowhere'")

    def test_chapter_that_is_planned(self):
        self.refuses("Text,\nas @chapter{more} shows.", 5, "the chapter 'more' is planned and not there yet")

    def test_chapter_by_its_number(self):
        self.refuses("Text,\nas chapter 3 shows.", 5, "'chapter 3': write the chapter's name")
        self.refuses("Text, as chapters\n3 and 4 show.", 4, "'chapters 3': write the chapter's name")

    def test_chapter_in_a_header(self):
        self.chapter("Text.")
        self.put("src/mamba2/a.hpp", "/// \\file\n/// \\brief Explained in @chapter{nowhere}.\n/// As in chapter 3.\n")
        self.refuses(None, 2, "no chapter 'nowhere'", "src/mamba2/a.hpp")
        self.refuses(None, 3, "a chapter by its number", "src/mamba2/a.hpp")

    def test_exercise_twice(self):
        self.exercise()
        self.refuses("::: exercise 1 Do\nThis.\n:::\n\n::: exercise 1 Do\nThis.\n:::", 8, "exercise 1.1 stands here twice")

    def test_unknown_citation(self):
        self.refuses("As in [@turing].", 4, "unknown citation 'turing'")

    def test_repeated_section(self):
        self.refuses("## One {#trial_a}\n\nText.\n\n## Two {#trial_a}", 8, f"the id 'trial_a' is used before, in {CHAPTER}:4")

    def test_section_without_id(self):
        self.refuses("## One", 4, "the section 'One' has no id")

    def test_small_section_without_id(self):
        self.chapter("### A small section")
        self.assertEqual(self.weave().stderr, "")

    def test_section_id_of_another_chapter(self):
        self.refuses("## One {#other_a}", 4, "the section id 'other_a' should start with 'trial_'")

    def test_math_in_heading(self):
        self.refuses("## The $x$ {#trial_x}", 4, "a heading with math or backticks")

    def test_number_in_heading(self):
        self.refuses("## 2 models {#trial_x}", 4, "a heading that starts with a number")

    def test_missing_note(self):
        self.refuses("Text.[^1]", 4, "no side note [^1] in this prose block")

    def test_unused_note(self):
        self.refuses("Text.\n\n[^1]: Note.", 6, "side note [^1] is never referred to")

    def test_note_of_another_block(self):
        self.put(CHAPTER, HEAD + "// Text.[^1]\n\nint x;\n\n// [^1]: Note.\n")
        self.refuses(None, 4, "no side note [^1] in this prose block")

    def test_note_twice(self):
        self.refuses("Text.[^1]\n\n[^1]: Note.\n[^1]: Again.", 7, "side note [^1] is defined twice in this prose block")
        self.refuses("Text.[^1] More.[^1]\n\n[^1]: Note.", 4, "side note [^1] is referred to twice")

    def test_marks_without_end(self):
        self.refuses("Text.\nSee @eqref{eq:one\nand", 5, "unclosed @eqref{")
        self.refuses("Text[^ ].", 4, "unclosed [^")
        self.refuses("Text [@knuth.", 4, "unclosed [@")

    def test_not_a_box(self):
        self.refuses("Text.\n:::: keyidea", 5, "not a box: ':::: keyidea'")

    def test_figure_without_name(self):
        self.refuses("::: figure\nA.\n:::", 4, "a figure needs a name")

    def test_exercise_without_title(self):
        self.refuses("::: exercise 1\nA.\n:::", 4, "an exercise needs a number and a title")

    def test_blank_line_in_display(self):
        self.refuses("$$ x\n\n= y $$", 4, "a blank line inside $$…$$")

    def test_reference_twice(self):
        self.put("docs/references.md", REFERENCES + "\n[@knuth]: Knuth | Again.\n")
        self.refuses("Text.", 7, "reference 'knuth' stands here twice", "docs/references.md")

    def test_front_matter_without_title(self):
        self.put("docs/index.md", "A small book\n")
        self.refuses("Text.", 1, "the first line must be '# Title {#id}'", "docs/index.md")

    def test_text_outside_hints(self):
        self.exercise(hints="Some text.\n# 1\n## Hint 1\nThink.\n")
        self.refuses("::: exercise 1 Do\nThis.\n:::", 1, "text outside '# 2' and '## Hint 1'", "chapters/01_trial/hints.md")

    def test_hints_twice(self):
        self.exercise(hints="# 1\n## Hint 1\nThink.\n# 1\n## Hint 1\nThink.\n")
        self.refuses("::: exercise 1 Do\nThis.\n:::", 4, "each exercise has one heading, such as '# 2'", "chapters/01_trial/hints.md")

    def test_record_in_front_matter(self):
        self.put("docs/index.md", "# A small book {#index}\n\n@recorded run table\n")
        self.refuses("Text.", 3, "only chapters have records", "docs/index.md")

    def test_output_in_front_matter(self):
        self.put("docs/index.md", "# A small book {#index}\n\n@output first\n")
        self.refuses("Text.", 3, "only chapters have a program", "docs/index.md")

    def test_unknown_command(self):
        self.refuses("Text.\n\n@outptu first", 6, "unknown command '@outptu'")

    def test_missing_reference(self):
        self.refuses("See \\ref trial_b \"there\".", 4, "\\ref to 'trial_b', which no page has")

    def test_error_in_the_program(self):
        self.put(DEMO, "// ## The program {#trial_program}\n\nint main() {}\n\n// @output none\n")
        self.refuses("Text.", 5, "chapter_01 prints no section [none]", DEMO)

    def test_error_in_front_matter(self):
        self.put("docs/index.md", "# A small book {#index}\n\nSome $x.\n")
        self.refuses("Text.", 3, "unclosed $", "docs/index.md")

    def test_missing_part(self):
        self.put("chapters/01_trial/parts.txt", "more.cpp\n")
        self.refuses("Text.", 1, "no file 'chapters/01_trial/more.cpp'", "chapters/01_trial/parts.txt")

    def test_draft_goes_on(self):
        self.chapter("See @eqref{eq:none}.")
        done = self.weave("--draft")
        self.assertEqual(done.returncode, 0)
        self.assertIn(f"{CHAPTER}:4: error: no equation 'eq:none'", done.stderr)
        self.assertTrue(os.path.exists(os.path.join(self.root, "woven", "ch_trial.md")))


class Pages(SmallBook):
    """What good prose becomes."""

    def test_equation_is_numbered_and_linked(self):
        page = self.html("$$ x < y $$ {#eq:less}\n\nSee @eqref{eq:less}.")
        self.assertIn('id="eq_less"', page)
        self.assertIn("\\[x &lt; y\\]", page)
        self.assertIn('<a class="eqref" href="#eq_less">(1.1)</a>', page)

    def test_equation_of_another_page(self):
        self.put("docs/index.md", "# A small book {#index}\n\nSee @eqref{eq:less}.\n")
        self.woven("$$ x $$ {#eq:less}")
        with open(os.path.join(self.root, "woven/index.json"), encoding="utf-8") as tokens:
            self.assertIn('href=\\"ch_trial.html#eq_less\\">(1.1)', tokens.read())

    def test_punctuation_stays_with_math(self):
        self.assertIn('<span class="nb">\\(x\\),</span>', self.html("An $x$, then."))
        self.assertIn('<span class="nb">\\(N\\)-fold</span>', self.html("An $N$-fold thing."))

    def test_emphasis(self):
        markdown = self.woven("The word after \"*Mr.*\", **bold $x$ and `y`** (*so*), 2 * 3 * 4, `*p`.\n\n* one\n* *two*")[0]
        self.assertIn("\u201c<em>Mr.</em>\u201d, <strong>bold", markdown)
        self.assertIn("</strong> (<em>so</em>), 2 * 3 * 4,", markdown)
        self.assertIn("* one\n* <em>two</em>", markdown)

    def test_quotation_marks(self):
        markdown = self.woven("It's \"quoted\" ('so') and $x$'s; <span title=\"a\">b</span>. \\ref index \"here\"")[0]
        self.assertIn("It\u2019s \u201cquoted\u201d (\u2018so\u2019) and", markdown)
        self.assertIn('\u2019s; <span title="a">b</span>. \\ref index "here"', markdown)

    def test_name_of_the_language(self):
        tokens = self.woven("In C++, `C++` and $C$.")[1]
        self.assertEqual([t.get("html", t.get("text")) for t in tokens][:2], ['<span class="cpp">C++</span>', "C++"])

    def test_dollar_sign(self):
        markdown, tokens = self.woven("A price of \\$5 and \\$6.")
        self.assertIn("A price of $5 and $6.", markdown)

    def test_code_spans_are_left_alone(self):
        tokens = self.woven("Some `a_b $x$ @foo \\bar <T> %d [^1] :::` here.")[1]
        self.assertEqual([t["text"] for t in tokens if t["kind"] == "span"], ["a_b $x$ @foo \\bar <T> %d [^1] :::"])

    def test_fences_are_left_alone(self):
        tokens = self.woven("```cpp\n// $x @output none\n:::\n## no\n[^1]: no\n```")[1]
        self.assertEqual(tokens[0]["lines"], ["// $x @output none", ":::", "## no", "[^1]: no"])

    def test_table_cells_with_bars(self):
        markdown, _ = self.woven("| a | b |\n|---|---|\n| $|x|$ | `p | q` |")
        rows = [line for line in markdown.split("\n") if line.startswith("|")]
        self.assertEqual([row.count("|") for row in rows], [3, 3, 3])

    def test_output_section(self):
        tokens = self.woven("@output first\n\n@output second")[1]
        self.assertEqual([t["text"] for t in tokens if t["kind"] == "output"], ["one\ntwo", "three"])

    def test_measured(self):
        self.put("data/01/measured.txt", "[first]\n9 s\n[second]\n8 s\n")
        tokens = self.woven("@output first\n\n@measured second")[1]
        self.assertEqual([(t["kind"], t["text"]) for t in tokens if "text" in t], [("output", "one\ntwo"), ("measured", "8 s")])

    def test_recorded(self):
        self.put("chapters/01_trial/recorded/run.txt", RECORD)
        token = self.woven("@recorded run table")[1][0]
        self.assertEqual((token["kind"], token["text"]), ("recorded", "N  accuracy\n4      31 %"))
        self.assertEqual(bind.Binder.recorded(token["head"]), "recorded on 2026-11-27 in 6 min 5 s by <code>build/bin/record_01 run</code>; "
                         "commit 3ed16be, seeds 1 2 3, A &amp; B, 2 processors, 1 thread")

    def test_whole_output(self):
        tokens = self.woven("@output *")[1]
        self.assertEqual(tokens[0]["text"], "[first]\none\ntwo\n\n[second]\nthree\n[empty]")

    def test_quote(self):
        self.put("src/a.hpp", "int z;\n//: one\nint a;\n  //: inner\nint b;\n  //: end\n")
        tokens = self.woven("@quote src/a.hpp#inner")[1]
        self.assertEqual((tokens[0]["lines"], tokens[0]["first"], tokens[0]["caption"]), (["int b;"], 5, "src/a.hpp"))

    def test_figure_number(self):
        page = self.html("::: figure curve\nA curve.\n:::\n\nSee @figref{curve}.")
        self.assertIn('<a class="figref" href="#fig_trial_curve">Figure 1.1</a>', page)

    def test_side_note(self):
        page = self.html("Text[^a] goes on.\n\n[^a]: A note with $x$\n    on two lines.")
        self.assertIn('id="note_1"', page)
        markdown = self.woven("Text[^a] goes on.\n\n[^a]: A note with $x$\n    on two lines.")[0]
        self.assertIn("on two lines.", markdown.split("\n\n")[1])

    def test_citation(self):
        page = self.html("As in [@knuth, section 2; @knuth].")
        self.assertIn('[<a class="cite" href="references.html#knuth">Knuth 1984</a>, section 2; <a', page)

    def test_exercise(self):
        self.put("chapters/01_trial/hints.md", "# 1\n## Hint 1\nThink.\n## Hint 2\nMore.\n")
        self.put("chapters/01_trial/solutions.cpp", "int before;\n//: 1\nint f() { return 1; }\n//: end\n")
        markdown, tokens = self.woven("::: exercise 1 Do this\nThe task.\n:::")
        page = " ".join(t.get("html", "") for t in tokens)
        self.assertEqual((page.count('class="hint"'), page.count('class="solution"')), (2, 1))
        self.assertIn("./book check 1.1", page)
        self.assertIn("chapters/01_trial/exercises.cpp", page)
        solution = [t for t in tokens if t["kind"] == "code" and t["caption"].endswith("solutions.cpp")]
        self.assertEqual((solution[0]["lines"], solution[0]["first"]), (["int f() { return 1; }"], 3))

    def test_chapters_by_name(self):
        self.put("chapters/03_other/other.cpp", "// # Another {#ch_other}\n//\n// Text.\n\nint y;\n")
        page = self.html("@Chapter{other}; @chapters{trial\nto other}; @Chapters{other, trial and other}'s, `@chapter{x}`.")
        link = '<a href="ch_other.html" title="Another">3</a>'
        self.assertEqual(page.count(link), 4)
        markdown = TOKEN.sub("·", self.woven("@Chapter{other}; @chapters{trial\nto other}; @Chapters{other, trial and other}'s.")[0])
        self.assertIn("Chapter\u00a0·; chapters\u00a01 to ·; Chapters\u00a0·, 1 and ·\u2019s.", markdown)

    def test_chapters_by_name_in_the_text_of_links(self):
        markdown = self.woven('See \\ref ch_trial "@Chapter{trial}, all of it".')[0]
        self.assertIn('\\ref ch_trial "Chapter\u00a01, all of it"', markdown)

    def test_exercises_by_number(self):
        self.put("chapters/01_trial/hints.md", "# 1\n## Hint 1\nThink.\n")
        self.put("chapters/01_trial/solutions.cpp", "//: 1\nint f();\n//: end\n")
        page = self.html("See @exercise{1} and @exercise{trial.1}.\n\n::: exercise 1 Do\nThis.\n:::")
        self.assertEqual(page.count('<a href="#exercise_1_1">1.1</a>'), 2)

    def test_parts_begin_at_chapters(self):
        self.put("chapters/04_other/other.cpp", "// # Another {#ch_other}\n//\n// Text.\n\nint y;\n")
        self.woven("Text.")
        with open(os.path.join(self.root, "woven/book.json"), encoding="utf-8") as file:
            outline = json.load(file)
        self.assertEqual([(p["name"], p["first"], p["last"]) for p in outline["parts"]], [("Part I", 1, 1), ("Part II", 2, 99)])
        self.assertEqual(outline["planned"], [{"number": 2, "title": "More of it"}])
        self.assertEqual([p["part"] for p in outline["pages"] if p["number"]], ["Part I", "Part II"])

    def test_a_planned_chapter_that_is_there(self):
        self.put("chapters/02_more/more.cpp", "// # More {#ch_more}\n//\n// Text.\n\nint y;\n")
        self.woven("See @chapter{more}.")
        with open(os.path.join(self.root, "woven/book.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file)["planned"], [])

    def test_line_numbers_of_code(self):
        tokens = self.woven("Text.", "\nint a;\n//: tag\nint b;\n//: end\n\nint c;\n\n// More.\n\nint d;\n")[1]
        code = [(t["numbers"], t["lines"]) for t in tokens if t["kind"] == "code"]
        self.assertEqual(code, [([6, 8, 10, 11], ["int a;", "int b;", "", "int c;"]), ([15], ["int d;"])])

    def test_includes_and_instantiations_are_folded(self):
        code = ("\n#include <cmath>\n\nnamespace n {\n\nint f() {\n  return 1;\n}\n\ntemplate <class R>\nR g(R x) {\n  return x;\n}\n\n"
                "template float g(float);\ntemplate double g(\n    double);\n\n}  // namespace n\n")
        pieces = [(t["fold"], t["numbers"]) for t in self.woven("Text.", code)[1] if t["kind"] == "code"]
        self.assertEqual(pieces, [("What it includes", [6, 7, 8]), ("", list(range(10, 18))), ("What is compiled", list(range(19, 24)))])

    def test_a_block_may_ask_to_be_folded(self):
        tokens = self.woven("Text.", "\n//: fold The helpers\nint a;\n\n// More.\n\nint b;\n")[1]
        self.assertEqual([(t["fold"], t["numbers"]) for t in tokens if t["kind"] == "code"], [("The helpers", [7]), ("", [11])])

    def test_what_only_looks_like_an_instantiation_is_shown(self):
        code = "\nnamespace n {\n\ntemplate float g(float);\n\nint f() {\n  return 1;\n}\n\n}  // namespace n\n"
        self.assertEqual([t["fold"] for t in self.woven("Text.", code)[1] if t["kind"] == "code"], [""])

    def test_summary(self):
        self.woven("Text.")
        with open(os.path.join(self.root, "woven/book.json"), encoding="utf-8") as outline:
            page = [p for p in json.load(outline)["pages"] if p["number"] == 1][0]
        self.assertEqual(page["summary"], "One sentence.")

    def test_pages_that_do_not_change_are_left_alone(self):
        self.woven("Text.")
        paths = [os.path.join(self.root, "woven", name) for name in os.listdir(os.path.join(self.root, "woven"))]
        for path in paths:
            os.utime(path, (1, 1))
        self.assertEqual(self.weave().returncode, 0)
        self.assertEqual({os.stat(path).st_mtime for path in paths}, {1.0})

    def test_parts(self):
        self.put("chapters/01_trial/parts.txt", "more.cpp\n")
        self.put("chapters/01_trial/more.cpp", "// More prose.\n\nint more;\n")
        self.put(DEMO, "// ## The program {#trial_program}\n\nint main() {}\n")
        captions = [t["caption"] for t in self.woven("Text.")[1] if t["kind"] == "code"]
        self.assertEqual(captions, [CHAPTER, "chapters/01_trial/more.cpp", DEMO])


class Tangling(unittest.TestCase):
    """The compiler sees the code alone, and names the chapter's own lines."""

    SOURCE = "// # T {#ch_t}\n//\n// Prose.\n\nint f() {\n// Prose within.\n  return 1;\n}\n\n// More.\n\nint g();\n"

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.original, self.tangled = os.path.join(self.folder, "a.cpp"), os.path.join(self.folder, "out", "a.cpp")

    def tangle(self, text):
        with open(self.original, "w", encoding="utf-8") as out:
            out.write(text)
        subprocess.run([*WEAVER, "tangle", self.original, self.tangled], check=True)
        with open(self.tangled, encoding="utf-8") as result:
            return result.read()

    def test_code_and_lines(self):
        self.assertEqual(self.tangle(self.SOURCE),
                         f'#line 5 "{self.original}"\nint f() {{\n#line 7 "{self.original}"\n  return 1;\n}}\n'
                         f'#line 12 "{self.original}"\nint g();\n')

    def test_prose_edits_touch_nothing(self):
        self.tangle(self.SOURCE)
        os.utime(self.tangled, (1, 1))
        self.tangle(self.SOURCE.replace("// Prose.", "// Other prose,\n// of two lines."))
        self.assertEqual(os.stat(self.tangled).st_mtime, 1.0)

    def test_code_edits_refresh_the_lines(self):
        self.tangle(self.SOURCE)
        self.tangle("// One more line.\n" + self.SOURCE)
        text = self.tangle("// One more line.\n" + self.SOURCE.replace("return 1", "return 2"))
        self.assertIn(f'#line 8 "{self.original}"\n  return 2;', text)

    def test_compiler_names_the_original(self):
        compiler = shutil.which(os.environ.get("CXX", "c++")) or self.skipTest("no compiler")
        self.tangle(self.SOURCE.replace("int g();", "int g() { return wrong; }"))
        done = subprocess.run([compiler, "-fsyntax-only", self.tangled], capture_output=True, text=True, check=False)
        self.assertIn(f"{self.original}:12:", done.stderr)

    def test_what_is_prose(self):
        blocks = literate.split("// prose\n//\n/// doc\n//: tag\n  // code\n//code\n")
        self.assertEqual([(b.prose, b.first, b.lines) for b in blocks],
                         [(True, 1, ["prose", ""]), (False, 3, ["/// doc", "//: tag", "  // code", "//code"])])


class ExerciseFiles(unittest.TestCase):
    """What is read of a chapter's exercises, and what is said of it."""

    def setUp(self):
        self.root = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.root)
        self.put("trial.cpp", "// # A trial {#ch_trial}\n")
        self.put("exercises.hpp", "int f();\nint g();\n")
        self.put("exercises_stub.cpp", "int f() { throw not_implemented(1); }\nint g() { throw not_implemented(2); }\n")
        self.put("exercises_test.cpp", 'GRADE(1, "do: so") {}\nGRADE(1, "do: thus") {}\nGRADE(2, "make") {}\n')
        self.put("solutions.cpp", "//: 1\nint f() {\n  return 1;\n}\n//: end\n//: 2\nint g() {\n  return 2;\n}\n//: end\n")
        self.put("hints.md", "# 1\n## Hint 1\nThink of $\\tfrac12$.\n# 2\n## Hint 1\nThink.\n")
        self.wrong = [{"exercise": k, "mistake": f"m{k}{i}", "replace": f"return {k}", "with": f"return {10 * i}"} for k in (1, 2) for i in (1, 2, 3)]
        self.put("wrong_answers.json", json.dumps(self.wrong))

    def put(self, name, text):
        path = os.path.join(self.root, "chapters/07_trial", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)

    def read(self):
        return exercises.Exercises(chapters.chapters(self.root)[0])

    def refuses(self, *problems):
        self.assertEqual(self.read().problems(), list(problems))

    def test_all_is_there(self):
        self.assertEqual([(e.name, e.title, len(e.hints), e.solution[0]) for e in self.read()], [("7.1", "do", 1, 2), ("7.2", "make", 1, 7)])
        self.refuses()

    def test_what_is_missing(self):
        self.put("hints.md", "# 1\n## Hint 1\nThink.\n")
        self.refuses("exercise 7.2: hints.md has no hints under `# 2`")
        self.put("hints.md", "# 1\n## Hint 1\nThink.\n# 2\n## Hint 1\nThink.\n# 3\n## Hint 1\nThink.\n")
        self.assertIn("exercise 7.3 is graded nowhere: exercises_test.cpp has no `GRADE(3, ...)`", self.read().problems())

    def test_stub_and_solution_that_are_missing(self):
        self.put("exercises_stub.cpp", "int f() { throw not_implemented(1); }\n")
        self.refuses("exercise 7.2: exercises_stub.cpp has no `not_implemented(2)`")
        self.put("solutions.cpp", "//: 1\nint f() {\n  return 1;\n}\n//: end\n")
        self.assertIn("exercise 7.2: solutions.cpp has no `//: 2` with its `//: end`", self.read().problems())

    def test_wrong_answers_that_do_not_fit(self):
        self.wrong[0]["replace"] = "return 2"
        self.put("wrong_answers.json", json.dumps(self.wrong))
        self.refuses("wrong answer to 7.1 (m11): `return 2` does not occur in the solution", "exercise 7.1 needs at least three wrong answers, has 2")
        self.wrong[0]["replace"] = "\n"
        self.put("wrong_answers.json", json.dumps(self.wrong))
        self.assertEqual(self.read().problems()[0], "wrong answer to 7.1 (m11): `\n` occurs more than once in the solution")

    def test_wrong_answers_that_are_malformed(self):
        self.put("wrong_answers.json", "[\n{]")
        self.assertIn("chapters/07_trial/wrong_answers.json:2: ", self.read().problems()[0])
        self.put("wrong_answers.json", '[{"exercise": 1, "replace": "a", "with": "b"}]')
        self.assertIn('wrong answer 1: no "mistake"', self.read().problems()[0])

    def test_where_the_book_speaks_of_a_mistake(self):
        self.put("trial.cpp", "// # A trial {#ch_trial}\n// ## Doing {#trial_doing}\n//\n// $$ a $$ {#eq:a}\n//\n// $$\n// b\n// $$ {#eq:b}\nint x;\n")
        self.wrong[0]["see"], self.wrong[1]["see"], self.wrong[2]["see"] = "eq:b", "trial_doing", "eq:c"
        self.put("wrong_answers.json", json.dumps(self.wrong))
        self.put("marks.txt", "7.1\tx | 3\tm11\n7.1\tx | 4\tm12\n7.2\ty | 5\tm21\n")
        self.assertEqual(self.read().known_mistakes(), "7.1\tx | 3\tm11\tequation 7.2\n7.1\tx | 4\tm12\t“Doing” in chapter 7\n7.2\ty | 5\tm21\t\n")
        self.refuses("wrong answer to 7.1 (m13): nothing in the chapters has the label `eq:c`")

    def test_wrong_answers_share_sources(self):
        programs = self.read().programs()
        self.assertEqual([wrong for _, wrong in programs], [[("7.1", f"m1{i}"), ("7.2", f"m2{i}")] for i in (1, 2, 3)])
        self.assertIn("int f() {\n  return 20;\n}\n//: end\n//: 2\nint g() {\n  return 20;\n}", programs[1][0])

    def test_wrong_answers_of_solutions_that_call_each_other_do_not(self):
        self.put("solutions.cpp", "//: 1\nint f() {\n  return 1;\n}\n//: end\n//: 2\nint g() {\n  return 2 + f();\n}\n//: end\n")
        self.assertEqual([len(wrong) for _, wrong in self.read().programs()], [1] * 6)

    def test_formulas_typed_out(self):
        self.assertEqual(plain.plain_math(r"Here $\tfrac12 \bar A_t$, $\frac{a}{b_{ij}}$ and $e^{-x y}$, $\sqrt{2} \le \Delta$."),
                         "Here 1/2 A_bar_t, (a) / (b_ij) and e^(-x y), √(2) ≤ Δ.")


class Serving(unittest.TestCase):
    """The book on a port of this machine, made again at each save."""

    def setUp(self):
        self.root = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.root)
        self.put("html/index.html", "<html><body>one</body></html>")
        self.put("html/book.css", "body { }")
        self.put("chapters/a.cpp", "// one")
        build = ["/bin/sh", "-c", f"grep -q wrong {self.root}/chapters/a.cpp && echo 'a.cpp:1: error: wrong' && exit 1; "
                                  f"sed 's,// .*,<html><body>&</body></html>,' {self.root}/chapters/a.cpp >{self.root}/html/index.html"]
        self.server = subprocess.Popen([*WEAVER, "serve", "--html", os.path.join(self.root, "html"), "--port", "0", "--watch",
                                        os.path.join(self.root, "chapters"), "--", *build], stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.server.stdout.close)
        self.addCleanup(self.server.wait)
        self.addCleanup(self.server.terminate)
        self.address = self.server.stdout.readline().split()[2]

    def put(self, path, text):
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)

    def get(self, path):
        with urllib.request.urlopen(self.address + path, timeout=20) as answer:
            return answer.read().decode()

    def test_pages_load_themselves_anew(self):
        self.assertTrue(self.address.startswith("http://127.0.0.1:"))
        self.assertIn("one<script>new EventSource", self.get(""))
        self.assertEqual(self.get("book.css"), "body { }")
        for outside in ("../chapters/a.cpp", "%2e%2e/chapters/a.cpp", "missing.html"):
            with self.assertRaises(urllib.error.HTTPError):
                self.get(outside)
        with urllib.request.urlopen(self.address + "changes", timeout=20) as changes:
            time.sleep(0.1)
            self.put("chapters/a.cpp", "// two, and longer")
            self.assertEqual(changes.readline(), b"data: made\n")
        self.assertIn("made in", self.server.stdout.readline())
        self.assertIn("two, and longer", self.get("index.html"))

    def test_what_is_wrong_is_said(self):
        self.put("chapters/a.cpp", "// wrong")
        self.assertIn("not made", self.server.stdout.readline())
        self.assertEqual(self.server.stdout.readline(), "a.cpp:1: error: wrong\n")
        self.assertIn("one<script>", self.get(""))


class BuildsOn(unittest.TestCase):
    """What chapters say of what they build on, against what their code includes and calls."""

    def setUp(self):
        self.root = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.root)
        for number, name in enumerate(("one", "two", "three"), 1):
            self.put(f"src/mamba2/{name}.hpp", f"/// \\brief A header. Explained in @chapter{{{name}}}.\n#pragma once\n")
            self.chapter(number, name, "Nothing.")

    def put(self, path, text):
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path

    def chapter(self, number, name, says, code=""):
        prose = "".join(f"// {line}".rstrip() + "\n" for line in says.split("\n"))
        self.put(f"chapters/0{number}_{name}/{name}.cpp",
                 f"// # {name} {{#ch_{name}}}\n//\n// ## What it builds on {{#{name}_builds_on}}\n//\n{prose}//\n// ## More {{#{name}_more}}\n//\n// @chapter{{three}}\n\n{code}\n")

    def errors(self, objects=None):
        listed = chapters.chapters(self.root)
        order, report = [c.name for c in listed], Report(self.root)
        headers = builds_on.Headers(self.root, order)
        builds_on.check_headers(headers, order, report)
        self.used = builds_on.used_chapters(self.root, listed, headers, objects or {}, report)
        builds_on.compare(listed, self.used, report)
        return report.errors

    def test_all_is_said(self):
        self.chapter(2, "two", "On @chapter{one}.", "#include <mamba2/one.hpp>")
        self.chapter(3, "three", "@Chapters{one to two}.", "#include <mamba2/one.hpp>\n#include <mamba2/two.hpp>")
        self.assertEqual(self.errors(), [])
        self.assertEqual(self.used["three"], ({"one", "two"}, set()))

    def test_what_is_not_said(self):
        self.chapter(3, "three", "On @chapter{two}.", "#include <mamba2/one.hpp>\n#include <mamba2/two.hpp>")
        self.assertEqual(self.errors(), ["chapters/03_three/three.cpp:3: error: the code uses 'one', and this section does not say so: name @chapter{one}"])

    def test_what_is_said_and_not_so(self):
        self.chapter(3, "three", "On @chapter{one}.")
        self.assertIn("chapters/03_three/three.cpp:3: error: the code does not use 'one'", self.errors()[0])
        self.chapter(3, "three", "Nothing.\n\nIn thought also on @chapter{one}.")
        self.assertEqual(self.errors(), [])
        self.chapter(3, "three", "In thought on @chapter{one}.", "#include <mamba2/one.hpp>")
        self.assertIn("the code uses 'one', and this section does not say so", self.errors()[0])

    def test_programs_may_be_named(self):
        self.put("chapters/03_three/demo.cpp", "#include <mamba2/one.hpp>\n")
        self.assertEqual(self.errors(), [])
        self.chapter(3, "three", "On @chapter{one}.")
        self.assertEqual(self.errors(), [])
        self.assertEqual(self.used["three"], (set(), {"one"}))

    def test_later_chapters(self):
        self.chapter(1, "one", "On @chapter{two}.")
        self.assertIn("chapters/01_one/one.cpp:3: error: a chapter builds on earlier ones only, and 'two' comes later", self.errors())
        self.chapter(1, "one", "Nothing.", "#include <mamba2/two.hpp>")
        self.assertIn("chapters/01_one/one.cpp:3: error: a chapter builds on earlier ones only, and 'two' comes later", self.errors())

    def test_headers(self):
        self.put("src/mamba2/two.hpp", "/// \\brief A header. Explained in @chapters{two and three}.\n#pragma once\n#include <mamba2/one.hpp>\n")
        self.assertIn("the code uses 'one', and this section does not say so", self.errors()[0])
        self.chapter(2, "two", "On @chapter{one}.")
        self.assertEqual(self.errors(), [])
        self.put("src/mamba2/one.hpp", "/// \\brief A header. Explained in @chapter{one}.\n#include <mamba2/two.hpp>\n")
        self.assertIn("src/mamba2/one.hpp:2: error: a header of the chapter 'one' includes one of the later chapter 'two', mamba2/two.hpp", self.errors())
        self.put("src/mamba2/one.hpp", "/// \\brief A header.\n#include <mamba2/two.hpp>\n")
        self.assertIn("src/mamba2/one.hpp:2: error: a header of every chapter", self.errors()[0])

    def objects(self, **sources):
        compiler = shutil.which(os.environ.get("CXX", "c++")) or self.skipTest("no compiler")
        made = {}
        for name, text in sources.items():
            source = self.put(f"{name}.cpp", text)
            subprocess.run([compiler, "-c", source, "-o", source + ".o"], check=True)
            made[name] = source + ".o"
        return made

    def test_calls(self):
        made = self.objects(one="namespace mamba2 { void f() {} }", three="namespace mamba2 { void f(); void g() { f(); } }")
        said = {"01": ([made["one"]], []), "03": ([made["three"]], [])}
        self.assertEqual(self.errors(said), ["chapters/03_three/three.cpp:3: error: the code uses 'one', and this section does not say so: name @chapter{one}"])
        said = {"01": ([made["three"]], []), "03": ([made["one"]], [])}
        self.assertEqual(self.errors(said), ["chapters/01_one/one.cpp:3: error: a chapter builds on earlier ones only, and 'three' comes later"])

    def test_weak_references(self):
        made = self.objects(one="namespace mamba2 { void f() __attribute__((weak)); void g() { if (f) f(); } }")
        self.assertEqual(self.errors({"01": ([made["one"]], [])}), ["chapters/01_one/one.cpp:1: error: a weak reference, _ZN6mamba21fEv: what a chapter uses has to be there"])

    def test_arrows_that_others_imply(self):
        self.assertEqual(builds_on.reduced({("c", "b"), ("b", "a"), ("c", "a"), ("d", "a")}), {("c", "b"), ("b", "a"), ("d", "a")})

    def test_the_map(self):
        self.put("chapters/03_three/demo.cpp", "#include <mamba2/one.hpp>\n")
        self.chapter(2, "two", "On @chapter{one}.", "#include <mamba2/one.hpp>")
        self.put("objects.txt", "")
        out = os.path.join(self.root, "map")
        self.assertEqual(builds_on.main(["--root", self.root, "--objects", os.path.join(self.root, "objects.txt"), "--out", out]), 0)
        with open(os.path.join(out, "builds_on.dot"), encoding="utf-8") as dot:
            self.assertEqual([line.strip() for line in dot if "->" in line], ["one -> three [style=dashed];", "one -> two;"])
        with open(os.path.join(out, "builds_on.svg"), encoding="utf-8") as picture:
            picture = picture.read()
        self.assertIn('href="ch_two.html"', picture)
        self.assertIn("<title>uses the code of 1</title>", picture)


class NoLibrary:
    """A library without names, for the colouring of code."""
    items = {}
    header_link = find = find_member = staticmethod(lambda name: None)


class OneFunction(NoLibrary):
    class Item:
        kind, href = "function", "mamba2_a.html#f"
    items = {"mamba2::f": Item}
    find = staticmethod(lambda name: "mamba2_a.html#f" if name in ("mamba2::f",) else None)


class Colouring(unittest.TestCase):
    HOSTILE = 'const char* at = "@param ~~~ ``` %p <b> \\f$ $x$ &amp; */ /*";  // \\endcode */ ⟦1⟧\nauto r = R"x(// "no)x"; int n = 1\'000;\n'

    def test_text_survives(self):
        import html
        import re
        shown = highlight(self.HOSTILE, NoLibrary)
        self.assertEqual(html.unescape(re.sub(r"</?(?:span|a)\b[^>]*>", "", shown)), self.HOSTILE)

    def test_no_span_crosses_a_line(self):
        shown = highlight("/* one\n two\n*/\nauto s = R\"(a\nb)\";\n", NoLibrary)
        for line in shown.split("\n"):
            self.assertEqual(line.count("<span"), line.count("</span>"), line)

    def test_links(self):
        link = '<a href="mamba2_a.html#f">'
        self.assertIn(link + "f</a>(", highlight("f(1)", OneFunction))
        self.assertIn(link + "mamba2::f</a>(", highlight("mamba2::f(1)", OneFunction))
        self.assertNotIn(link, highlight("int f = 1; x.f(2); // f(3)", OneFunction))


class Binding(unittest.TestCase):
    def binder(self, library):
        binder = bind.Binder.__new__(bind.Binder)
        binder.report, binder.library = Report(), library
        return binder

    def test_unknown_name_of_the_library(self):
        binder = self.binder(OneFunction)
        binder.api_word({"text": "mamba2::g()", "path": CHAPTER, "line": 7})
        self.assertEqual(binder.report.errors, [f"{CHAPTER}:7: error: the library has no 'mamba2::g()'"])

    def test_known_and_foreign_names(self):
        binder = self.binder(OneFunction)
        self.assertIn('href="mamba2_a.html#f"', binder.api_word({"text": "mamba2::f", "path": CHAPTER, "line": 7}))
        self.assertEqual(binder.api_word({"text": "main()", "path": CHAPTER, "line": 7}), "<code>main()</code>")
        self.assertEqual(binder.report.errors, [])

    def test_where_functions_are_defined(self):
        code = ("template <class Real>\nTensor<Real, 2> f(const Tensor<Real, 2>& x,\n           int n) {\n  return g(x);\n}\n"
                "template <class Real>\nvoid Block<Real>::step(int t) const {\n}\nint declared(int x);\n"
                "template Tensor<float, 2> f(const Tensor<float, 2>&);\nstatic int hidden() { return 1; }\n")
        self.assertEqual(list(reference.defined_names(code)), ["f", "Block::step"])

    def written(self, inside):
        """What becomes of a piece of Doxygen's XML."""
        writer = doxygen.Writer(token=lambda n: f"[{n}]", link=lambda refid: f"{refid}.html", name=lambda name: "e.html", code=lambda text: f"<pre>{text}</pre>")
        return writer.blocks(xml.fromstring(f"<d>{inside}</d>"))

    def test_paragraphs_and_tokens(self):
        self.assertEqual(self.written("<para>A &lt; \u27e61\u27e7 <bold>b</bold>.</para>"), "<p>A &lt; [1] <strong>b</strong>.</p>")
        self.assertEqual(self.written('<para><anchor id="a"/> \u27ea1\u27eb\n\u27ea2\u27eb</para>').split(), ["[1]", "[2]"])
        self.assertEqual(self.written("<para>So \u27ea1\u27eb</para>"), "<p>So [1]</p>")

    def test_no_block_within_a_paragraph(self):
        items = "<itemizedlist><listitem><para>one</para></listitem><listitem><para>two</para><para>three</para></listitem></itemizedlist>"
        self.assertEqual(self.written(f"<para>Text {items} more.</para>"),
                         "<p>Text</p><ul><li>one</li><li><p>two</p><p>three</p></li></ul><p>more.</p>")
        inner = items.replace("<para>one</para>", f"<para>one{items}</para>")
        self.assertIn("<ul><li>one<ul><li>one</li>", self.written(f"<para>{inner}</para>"))

    def test_sections_and_tables(self):
        self.assertIn('<h2 id="p_step_1_x">', self.written('<sect1 id="p_1p_step_1_x"><title>A</title></sect1>'))
        self.assertEqual(self.written('<sect1 id="p_1p_a"><title>A</title><para>T</para><sect2 id="p_1p_b"><title>B</title></sect2></sect1>').replace(
            ' class="permalink"', "").replace(' aria-label="Link to this section"', ""),
            '<h2 id="p_a">A<a href="#p_a">#</a></h2><p>T</p><h3 id="p_b">B<a href="#p_b">#</a></h3>')
        self.assertIn('<tr><th class="right">a</th><td>b</td></tr>', self.written(
            '<para><table rows="1" cols="2"><row><entry thead="yes" align="right"><para>a </para></entry><entry thead="no"><para>b</para></entry></row></table></para>'))

    def test_links_of_doxygen(self):
        self.assertEqual(self.written('<para><ref refid="x" kindref="compound">X</ref></para>'), '<p><a href="x.html">X</a></p>')
        self.assertEqual(doxygen.place("ch_a_1a_b"), "ch_a.html#a_b")
        self.assertEqual(doxygen.place("ch_a"), "ch_a.html")

    def test_parameters(self):
        shown = self.written('<para>F.<parameterlist kind="param"><parameteritem><parameternamelist><parametername>x</parametername></parameternamelist>'
                             "<parameterdescription><para>in</para></parameterdescription></parameteritem></parameterlist></para>")
        self.assertIn('<p>F.</p><dl class="about"><dt>Parameters</dt><dd><dl class="names"><div><dt><code>x</code></dt><dd><p>in</p></dd></div></dl></dd></dl>', shown)

    def test_what_lacks_words(self):
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        words = "<briefdescription><para>Words.</para></briefdescription>"

        def member(name, types, inside="", kind="function"):
            given = "".join(f"<param><type>{t}</type></param>" for t in types)
            return (f'<memberdef kind="{kind}" id="i" prot="public"><name>{name}</name><qualifiedname>mamba2::A::{name}</qualifiedname>{given}{inside}'
                    '<location file="mamba2/a.hpp" line="7"/></memberdef>')
        members = [member("A", []), member("A", ["const A&lt; Real &gt; &amp;"]), member("A", ["A &amp;&amp;"]), member("operator=", ["const A &amp;"]), member("~A", []),
                   member("said", ["int"], words), member("A", ["int"]), member("f", []), member("x", [], kind="variable")]
        files = {"a_8hpp": f'<compounddef kind="file" id="a_8hpp">{words}<location file="mamba2/a.hpp"/></compounddef>',
                 "structmamba2_1_1A": f'<compounddef kind="struct" id="s"><compoundname>mamba2::A</compoundname>{words}<location file="mamba2/a.hpp" line="5"/>'
                                      f'<sectiondef>{"".join(members)}</sectiondef></compounddef>',
                 "structmamba2_1_1B": '<compounddef kind="struct" id="t"><compoundname>mamba2::B</compoundname><location file="mamba2/a.hpp" line="9"/></compounddef>'}
        for name, text in files.items():
            with open(os.path.join(folder, name + ".xml"), "w", encoding="utf-8") as out:
                out.write(f"<doxygen>{text}</doxygen>")
        library = api.Library(folder, folder)
        self.assertEqual(library.undocumented, [("mamba2/a.hpp", 7, "mamba2::A::A"), ("mamba2/a.hpp", 7, "mamba2::A::f"), ("mamba2/a.hpp", 7, "mamba2::A::x"),
                                                ("mamba2/a.hpp", 9, "mamba2::B")])
        self.assertEqual([m.name for m in library.headers["mamba2/a.hpp"].items[0].members], ["said", "A", "f", "x"])

    def test_what_is_unknown_is_an_error(self):
        with self.assertRaises(SystemExit):
            self.written("<para><novelty>x</novelty></para>")

    def test_words_for_the_search(self):
        page = '<p>The state \\(\\bar A_t\\)</p><details class="hint"><p>secret</p></details><div class="caption">a.cpp</div><pre>output</pre><div class="code plain"><pre>code</pre></div>'
        self.assertEqual(bind.plain_text(page).split(), ["The", "state", "A_bar_t", "output"])


class Figures(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def draw(self, name, text, expect=0):
        source = os.path.join(self.folder, name)
        with open(source, "w", encoding="utf-8") as out:
            out.write(text)
        done = subprocess.run([*WEAVER, "draw", "--out", os.path.join(self.folder, "drawn"), "--theme",
                               os.path.join(DOCS, "theme"), "--prefix", "f01", "--recorded", os.path.join(self.folder, "recorded"), source], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, expect, done.stderr)
        if expect:
            return done.stderr
        with open(os.path.join(self.folder, "drawn", name.split(".")[0] + ".svg"), encoding="utf-8") as result:
            return result.read()

    def test_plot(self):
        picture = self.draw("a.gp", 'plot [0:1] x title "up", 1-x title "down"\n')
        for wanted in ("var(--plot-1)", "var(--plot-2)", "currentColor", 'viewBox="0 0 640 360"', "up"):
            self.assertIn(wanted, picture)
        for unwanted in ("<?xml", "xmlns", "#010203", "rgb( 10", "font-family", "<title>"):
            self.assertNotIn(unwanted, picture)

    def test_plot_of_a_record(self):
        os.mkdir(os.path.join(self.folder, "recorded"))
        with open(os.path.join(self.folder, "recorded", "run.txt"), "w", encoding="utf-8") as out:
            out.write(RECORD)
        script = 'set xrange [0:9]; set yrange [0:99]; plot recorded."/run/table.dat" skip 1 using 1:2 with points title system("wc -l <".recorded."/run/table.dat")\n'
        self.assertIn(">2<", self.draw("a.gp", script))
        self.assertIn("warning: Cannot find", self.draw("b.gp", 'plot recorded."/run/other.dat"\n', expect=1))

    def test_ids_are_unique(self):
        import re
        picture = self.draw("a.gp", 'plot [0:1] x with points title "up"\n')
        ids = re.findall(r'\bid="([^"]*)"', picture)
        self.assertTrue(ids)
        self.assertTrue(all(i.startswith("f01-a-") for i in ids), ids)
        for link in re.findall(r'href="#([^"]*)"|url\(\'?#([^)\']*)', picture):
            self.assertIn(link[0] or link[1], ids)

    def test_graph(self):
        picture = self.draw("g.dot", "digraph { a -> b [label=c]; }")
        self.assertIn("currentColor", picture)
        self.assertNotIn('"black"', picture)

    def test_error_in_a_script(self):
        self.assertRegex(self.draw("a.gp", "set xlabel 'x'\nplot nonsense(x)\n", expect=1), r"a\.gp:\d+: error: ")

    def test_error_in_a_drawing(self):
        self.assertIn("a.svg:2: error: not well-formed", self.draw("a.svg", '<svg xmlns="http://www.w3.org/2000/svg">\n<g></svg>', expect=1))


class Captures(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.output = os.path.join(self.folder, "01.txt")

    def capture(self, script):
        return subprocess.run([*WEAVER, "capture", self.output, "/bin/sh", "-c", script],
                              capture_output=True, text=True, check=False)

    def test_output_is_kept_and_left_alone_if_equal(self):
        self.assertEqual(self.capture("echo one").returncode, 0)
        os.utime(self.output, (1, 1))
        self.capture("echo one")
        self.assertEqual(os.stat(self.output).st_mtime, 1.0)
        self.capture("echo two")
        with open(self.output, encoding="utf-8") as text:
            self.assertEqual(text.read(), "two\n")

    def test_failure_keeps_the_last_output(self):
        self.capture("echo one")
        done = self.capture("echo half; echo why >&2; exit 3")
        self.assertEqual(done.returncode, 1)
        self.assertIn("error: ended with status 3", done.stderr)
        self.assertIn("why", done.stderr)
        with open(self.output, encoding="utf-8") as text:
            self.assertEqual(text.read(), "one\n")

    def test_silence_is_an_error(self):
        self.assertIn("printed nothing", self.capture("true").stderr)


if __name__ == "__main__":
    unittest.main(verbosity=1)
