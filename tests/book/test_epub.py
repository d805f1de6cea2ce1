#!/usr/bin/env python3
"""The book as an EPUB: test_epub.py EPUB OUTLINE (the weaver's book.json) PAGES (the folder of the book)

What readers of EPUBs insist on: what kind of file it is stands first, every document is XML, all that is there is
declared, and every link leads somewhere. And what the book does: all pages in their order, all formulas and figures.
"""
import json
import os
import re
import sys
import xml.etree.ElementTree as tree
import zipfile

XHTML, MATH, SVG, OPF = ("{http://www.w3.org/1999/xhtml}", "{http://www.w3.org/1998/Math/MathML}", "{http://www.w3.org/2000/svg}",
                         "{http://www.idpf.org/2007/opf}")


def check_archive(archive, problems):
    first = archive.infolist()[0]
    if (first.filename, first.compress_type, archive.read(first)) != ("mimetype", zipfile.ZIP_STORED, b"application/epub+zip"):
        problems.append("the archive does not begin with its kind, as it is")
    package = tree.fromstring(archive.read("book/book.opf"))
    declared = {item.get("href") for item in package.iter(f"{OPF}item")}
    there = {name[5:] for name in archive.namelist() if name.startswith("book/")} - {"book.opf"}
    for name in sorted(declared ^ there):
        problems.append(f"{name}: declared or there, but not both")
    ids = {item.get("id"): item.get("href") for item in package.iter(f"{OPF}item")}
    return [ids[item.get("idref")] for item in package.iter(f"{OPF}itemref")]


def check_links(name, document, documents, problems):
    for link in document.iter(f"{XHTML}a"):
        target, _, anchor = link.get("href", "").partition("#")
        if re.match(r"https?:", target) or not link.get("href"):
            continue
        other = documents.get(target or name)
        if other is None:
            problems.append(f"{name}: a link to {target}, which is not there")
        elif anchor and not any(element.get("id") == anchor for element in other.iter()):
            problems.append(f"{name}: a link to {target}#{anchor}, which is not there")


def check_page(name, text, document, page, problems):
    """Against the page of the book: as many formulas and drawings, and nothing of it left over."""
    body = re.search(r"<article>(.*)</article>", page, re.S).group(1)
    outside_code = re.sub(r"<(pre|code)\b.*?</\1>", "", body, flags=re.S)
    for what, wanted, got in (("formulas", len(re.findall(r"(?<!\\)\\[(\[]", outside_code)), len(list(document.iter(f"{MATH}math")))),
                              ("drawings", len(re.findall(r"<svg\b", body)), len(list(document.iter(f"{SVG}svg"))))):
        if wanted != got:
            problems.append(f"{name}: {got} {what}, the page has {wanted}")
    for mark in ('class="katex', "permalink", "var(--plot", "var(--ink"):
        if mark in text:
            problems.append(f"{name}: '{mark}' is left over")


def main(epub, outline, pages):
    with open(outline, encoding="utf-8") as source:
        book = json.load(source)
    problems = []
    with zipfile.ZipFile(epub) as archive:
        order = check_archive(archive, problems)
        texts = {name[5:]: archive.read(name).decode() for name in archive.namelist() if name.endswith(".xhtml")}
    documents = {name: tree.fromstring(text) for name, text in texts.items()}
    wanted = [f'{page["id"]}.xhtml' for page in book["pages"] if page["id"] != "library"]
    if order != wanted:
        problems.append(f"the pages are {order}, not {wanted}")
    for name in order:
        check_links(name, documents[name], documents, problems)
        with open(os.path.join(pages, name.replace(".xhtml", ".html")), encoding="utf-8") as source:
            check_page(name, texts[name], documents[name], source.read(), problems)
    check_links("contents.xhtml", documents["contents.xhtml"], documents, problems)
    listed = [link.get("href") for link in documents["contents.xhtml"].iter(f"{XHTML}a")]
    problems += [f"{name} is not in the contents" for name in wanted if name not in listed]
    print("\n".join(problems))
    print(f"{len(order)} pages, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
