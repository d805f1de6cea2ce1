"""draw --out DIR --theme DIR --prefix P [--data DIR] [--recorded DIR] SOURCE...: a chapter's figures, as SVG that follows the page.

SOURCE: gnuplot scripts (.gp, run with the variable `data` = the data folder, and `recorded` = a folder that holds each section
of the chapter's records as NAME/TAG.dat), Graphviz files (.dot), drawings (.svg); every .svg
in the data folder is a figure too. Ink becomes currentColor, curves become the CSS variables --plot-1 … --plot-6,
ids become unique. DIR/drawn.txt lists what was drawn.
"""
import argparse
import hashlib
import os
import re
import subprocess
import tempfile
import xml.etree.ElementTree as xml

from .report import write_if_changed
from .sections import read_record

SVG = "http://www.w3.org/2000/svg"
XLINK = "{http://www.w3.org/1999/xlink}"
COLOURS = {"#010203": "currentColor", "#000000": "currentColor", "black": "currentColor",
           "#808080": "var(--plot-grid)", "#fefefe": "var(--page)", "#ffffff": "var(--page)", "white": "var(--page)",
           "#1f77b4": "var(--plot-1)", "#d62728": "var(--plot-2)"}
COLOURS.update({f"#0a0b0{k}": f"var(--plot-{k})" for k in range(1, 7)})
PAINT = ("fill", "stroke", "color", "stop-color")
DOT = ["-Gbgcolor=transparent", "-Gcolor=#808080", "-Gfontcolor=#010203", "-Gfontname=Helvetica", "-Gfontsize=13",
       "-Nshape=box", "-Nstyle=rounded", "-Ncolor=#010203", "-Nfontcolor=#010203", "-Nfontname=Helvetica", "-Nfontsize=13",
       "-Nheight=0.4", "-Nmargin=0.16,0.08", "-Ecolor=#010203", "-Efontcolor=#010203", "-Efontname=Helvetica", "-Efontsize=12",
       "-Earrowsize=0.7"]


def colour(value):
    """The theme's colour for one that a drawing uses, or None."""
    value = value.strip().lower()
    found = re.fullmatch(r"rgb\(\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*\)", value)
    if found:
        value = "#" + "".join(f"{int(part):02x}" for part in found.groups())
    elif re.fullmatch(r"#[0-9a-f]{3}", value):
        value = "#" + "".join(2 * digit for digit in value[1:])
    return COLOURS.get(value)


def themed(source, prefix, path, links=False):
    """An SVG document as an element to put into a page; with its links, or without."""
    try:
        root = xml.fromstring(source)
    except xml.ParseError as problem:
        raise SystemExit(f"{path}:{problem.position[0]}: error: not well-formed SVG: {problem}")
    if root.tag != f"{{{SVG}}}svg":
        raise SystemExit(f"{path}:1: error: not an SVG drawing")
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}title", f"{{{SVG}}}desc", f"{{{SVG}}}metadata") or not isinstance(child.tag, str):
                parent.remove(child)
    for element in list(root.iter()):
        restyle(element, prefix)
        relink(element, links)
    while leave_out_unused(root):
        pass
    size(root, path)
    if links:
        root.set("role", "group")
    text = xml.tostring(root, encoding="unicode")
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)
    return re.sub(r"(</?)ns\d+:", r"\1", text)


def leave_out_unused(root):
    """Takes away what shows nothing: definitions that nothing refers to, empty groups, space between elements. Whether there was any."""
    used = set(re.findall(r"#([\w.-]+)", " ".join(value for e in root.iter() for value in e.attrib.values())))
    found = False
    for parent in list(root.iter()):
        words = parent.tag in (f"{{{SVG}}}text", f"{{{SVG}}}tspan")
        for child in list(parent):
            unused = parent.tag == f"{{{SVG}}}defs" and child.get("id") not in used
            empty = child.tag in (f"{{{SVG}}}g", f"{{{SVG}}}defs") and not len(child) and not child.get("id")
            if unused or empty:
                parent.remove(child)
                found = True
            elif not words and not (child.tail or "").strip():
                child.tail = None
        if not words and len(parent) and not (parent.text or "").strip():
            parent.text = None
    return found


def restyle(element, prefix):
    style = dict(part.split(":", 1) for part in element.get("style", "").split(";") if ":" in part)
    style = {key.strip(): value.strip() for key, value in style.items()}
    for key in PAINT:
        value = style.get(key, element.get(key))
        theme = colour(value) if value else None
        if theme == "var(--plot-grid)" and key == "fill" and (element.get("font-family") or element.tag in (f"{{{SVG}}}text", f"{{{SVG}}}tspan")):
            theme = "var(--ink-2)"  # grey words must still be read
        if theme:
            element.attrib.pop(key, None)
            style[key] = theme
        if theme == "currentColor" and key == "color":
            del style[key]  # it is that anyway
    for key in ("font-family", "font"):
        element.attrib.pop(key, None)
        style.pop(key, None)
    if style:
        element.set("style", ";".join(f"{key}:{value}" for key, value in style.items()))
    if XLINK + "href" in element.attrib:
        element.set("href", element.attrib.pop(XLINK + "href"))
    if element.get("id"):
        element.set("id", prefix + element.get("id"))
    for key, value in list(element.attrib.items()):
        if key == "href" and value.startswith("#"):
            element.set(key, "#" + prefix + value[1:])
        elif "url(#" in value:
            element.set(key, re.sub(r"url\((['\"]?)#", rf"url(\1#{prefix}", value))


def relink(element, links):
    """Links inside drawings lead nowhere in a book, unless the book itself drew them; their titles are shown on hovering."""
    title = element.attrib.pop(XLINK + "title", None)
    if element.tag == f"{{{SVG}}}a" and not links:
        element.attrib.pop("href", None)
    elif element.tag == f"{{{SVG}}}a" and title:
        xml.SubElement(element, f"{{{SVG}}}title").text = title


def size(root, path):
    """Scale with the page, up to the drawing's own size."""
    def pixels(value):
        found = re.fullmatch(r"([\d.]+)(px|pt)?", value or "")
        return float(found.group(1)) * (4 / 3 if found.group(2) == "pt" else 1) if found else None
    width, height = pixels(root.get("width")), pixels(root.get("height"))
    box = root.get("viewBox")
    if not box:
        if not width or not height:
            raise SystemExit(f"{path}:1: error: the drawing has neither a viewBox nor a width and a height")
        root.set("viewBox", f"0 0 {width:g} {height:g}")
    natural = width or float(root.get("viewBox").split()[2])
    for key in ("width", "height", "x", "y", "version", "preserveAspectRatio"):
        root.attrib.pop(key, None)
    root.set("style", f"max-width:{natural:.0f}px;--natural:{natural:.0f}px")
    root.set("role", "img")


def run(command, path):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    problem = done.stderr.decode("utf-8", "replace").strip()
    if done.returncode != 0 or (command[0] == "gnuplot" and problem):
        line = re.search(r"line (\d+)", problem)
        raise SystemExit(f"{path}:{line.group(1) if line else 1}: error: {problem or command[0] + ' failed'}")
    return done.stdout.decode("utf-8")


def run_dot(path):
    return run(["dot", "-Tsvg", *DOT, path], path)


def draw(path, options):
    kind = path.rsplit(".", 1)[1]
    if kind == "gp":
        prelude = os.path.join(options.theme, "plot.gp")
        return run(["gnuplot", "-e", f"data='{options.data or '.'}'; recorded='{options.tables}'; load '{prelude}'", path], path)
    if kind == "dot":
        return run_dot(path)
    with open(path, encoding="utf-8") as source:
        return source.read()


def unpack_records(folder, out):
    """Each section of each record, as a file that gnuplot can read."""
    for file in sorted(os.listdir(folder)) if folder and os.path.isdir(folder) else []:
        name, extension = os.path.splitext(file)
        if extension != ".txt":
            continue
        with open(os.path.join(folder, file), encoding="utf-8") as record:
            _, parts, _ = read_record(record.read())
        for tag, lines in parts.items():
            write_if_changed(os.path.join(out, name, f"{tag}.dat"), "\n".join(lines) + "\n")


def main(given):
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--out", required=True)
    arguments.add_argument("--theme", required=True)
    arguments.add_argument("--prefix", required=True)
    arguments.add_argument("--data", default="")
    arguments.add_argument("--recorded", default="")
    arguments.add_argument("sources", nargs="*")
    options = arguments.parse_args(given)
    sources = list(options.sources)
    if options.data:
        sources += sorted(os.path.join(options.data, f) for f in os.listdir(options.data) if f.endswith(".svg"))
    drawn = {}
    with tempfile.TemporaryDirectory() as options.tables:
        unpack_records(options.recorded, options.tables)
        for path in sources:
            name = os.path.basename(path).rsplit(".", 1)[0]
            if name in drawn:
                raise SystemExit(f"{path}:1: error: two figures named '{name}'")
            picture = themed(draw(path, options), f"{options.prefix}-{name}-", path)
            write_if_changed(os.path.join(options.out, f"{name}.svg"), picture)
            drawn[name] = hashlib.sha256(picture.encode()).hexdigest()
    os.makedirs(options.out, exist_ok=True)
    for stale in os.listdir(options.out):
        if stale.endswith(".svg") and stale[:-4] not in drawn:
            os.remove(os.path.join(options.out, stale))
    write_if_changed(os.path.join(options.out, "drawn.txt"), "".join(f"{n} {h}\n" for n, h in sorted(drawn.items())))
    return 0

