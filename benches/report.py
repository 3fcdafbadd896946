"""Puts a table into docs/performance.md, between the markers of its name.

    python3 benches/report.py DOCUMENT NAME FILE
"""

import re
import sys


def main():
    document, name, path = sys.argv[1:]
    with open(document) as file:
        text = file.read()
    with open(path) as file:
        table = file.read().strip()
    mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.S)
    if len(mark.findall(text)) != 1:
        sys.exit(f"report: {document} does not have the markers of {name} just once")
    with open(document, "w") as file:
        file.write(mark.sub(lambda found: f"{found.group(1)}{table}\n{found.group(2)}", text))


if __name__ == "__main__":
    main()
