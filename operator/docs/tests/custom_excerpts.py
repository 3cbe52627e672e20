"""What custom.md shows of examples/express-accounts is what is there: each block with a `title` is lines of that file, in
their order. A line `...` in a comment stands for lines that are left out; the image's name is the reader's own."""

import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent
EXAMPLE = DOCS.parent.parent / "examples" / "express-accounts"
BLOCK = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
LEFT_OUT = re.compile(r"^ *(?://|#) \.\.\.\n", re.MULTILINE)
IMAGE = re.compile(r"^  image: .*\n", re.MULTILINE)


def excerpt_is_of(excerpt, text):
    at = 0
    for part in LEFT_OUT.split(IMAGE.sub("", excerpt)):
        found = text.find(part, at)
        if found < 0:
            return part
        at = found + len(part)
    return None


def main():
    blocks = BLOCK.findall((DOCS / "custom.md").read_text())
    assert blocks, "custom.md has no block with a title"
    # Neither may the check itself be one that passes whatever is there.
    assert excerpt_is_of("b\n# ...\na\n", "a\nb\n") == "a\n"
    failed = 0
    for title, excerpt in blocks:
        missing = excerpt_is_of(excerpt, IMAGE.sub("", (EXAMPLE / title).read_text()))
        if missing is not None:
            failed += 1
            print(f"custom.md shows of {title} what isn't there (in this order):\n{missing}", file=sys.stderr)
    return failed


sys.exit(main())
