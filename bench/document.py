"""Puts measured tables where docs/BENCHMARKS.md has them: document.py BENCHMARKS.md FOLDER

FOLDER/NAME.md replaces what stands between the lines "<!-- begin NAME -->" and "<!-- end NAME -->"."""
import pathlib
import re
import sys


def main():
    page, folder = map(pathlib.Path, sys.argv[1:3])
    text = page.read_text()
    for part in sorted(folder.glob("*.md")):
        name = part.stem
        between = re.compile(f"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.S)
        if not between.search(text):
            raise SystemExit(f"document: {page} has no place for {name}")
        text = between.sub(lambda m, part=part: m[1] + part.read_text().strip() + "\n" + m[2], text)
    page.write_text(text)


if __name__ == "__main__":
    main()
