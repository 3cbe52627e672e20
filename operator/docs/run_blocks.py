#!/usr/bin/env python3
"""Makes the project that a page of the documentation describes, from the page itself.

    run_blocks.py build PAGE DIRECTORY    write its files, apply its diffs, run its commands
    run_blocks.py show PAGE               list what `build` would do

What a fenced block does is in its info string:

    ```python title="mysite/views.py"     the whole file
    ```diff title="mysite/settings.py"    changes to a file that is there; see `apply_diff`
    ```console run                        lines that begin with `$ ` are run in DIRECTORY
    ```console                            only shown

Blocks act in the order of the page. Only pages of this repository may be given: their
commands are run as they stand, with the caller's PATH and environment.
"""

import argparse
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^```(\S*)(.*)$")
TITLE = re.compile(r'title="([^"]+)"')


class PageError(Exception):
    """The page can't be carried out; the message says where."""


@dataclass(frozen=True)
class Block:
    line: int
    language: str
    title: str | None
    run: bool
    lines: tuple[str, ...]

    @property
    def action(self):
        if self.language == "diff" and self.title:
            return "change"
        if self.title:
            return "write"
        return "run" if self.run else "none"


def blocks(text):
    found, start = [], None
    for number, line in enumerate(text.splitlines(), 1):
        fence = FENCE.match(line)
        if start is None and fence:
            title = TITLE.search(fence[2])
            words = TITLE.sub("", fence[2]).split()
            start, body = (number, fence[1], title and title[1], "run" in words), []
        elif start is not None and line == "```":
            found.append(Block(*start, tuple(body)))
            start = None
        elif start is not None:
            body.append(line)
    if start is not None:
        raise PageError(f"line {start[0]}: the block isn't closed")
    return found


def apply_diff(lines, diff, where):
    """`lines` with the hunks of `diff` applied.

    A hunk is a run of lines; an empty line separates hunks, so that they needn't be
    neighbours. Its `-` and ` ` lines must be found exactly once, in which `...` stands
    for anything; its `+` and ` ` lines replace them.
    """
    for hunk in hunks(diff):
        old = [line[1:] for line in hunk if line[0] in "- "]
        if not old:
            raise PageError(f"{where}: a hunk has only new lines, so where do they go?\n{show(hunk)}")
        places = [
            at
            for at in range(len(lines) - len(old) + 1)
            if all(same(want, have) for want, have in zip(old, lines[at:]))
        ]
        if len(places) != 1:
            raise PageError(f"{where}: a hunk is found {len(places)} times, expected once:\n{show(hunk)}")
        at, new, taken = places[0], [], iter(lines[places[0] :])
        for line in hunk:
            # Kept lines are taken from the file: `...` in them must not get there.
            if line[0] == "+":
                new.append(line[1:])
            else:
                kept = next(taken)
                if line[0] == " ":
                    new.append(kept)
        lines = lines[:at] + new + lines[at + len(old) :]
    return lines


def hunks(diff):
    hunk = []
    for line in [*diff, ""]:
        if line:
            if line[0] not in "+- ":
                raise PageError(f"a line of a diff begins with neither '+', '-' nor ' ': {line!r}")
            hunk.append(line)
        elif hunk:
            yield hunk
            hunk = []


def same(want, have):
    pattern = ".*".join(re.escape(part) for part in want.split("..."))
    return re.fullmatch(pattern, have) is not None


def show(lines):
    return "\n".join(f"    {line}" for line in lines)


def commands(block):
    return [line[2:] for line in block.lines if line.startswith("$ ")]


def build(page, directory):
    directory.mkdir(parents=True, exist_ok=True)
    root = directory.resolve()
    for block in blocks(page.read_text()):
        where = f"{page.name}:{block.line}"
        if block.action in ("write", "change"):
            target = (root / block.title).resolve()
            if not target.is_relative_to(root):
                raise PageError(f"{where}: {block.title} is outside of the project")
        if block.action == "write":
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("\n".join(block.lines) + "\n")
        elif block.action == "change":
            if not target.exists():
                raise PageError(f"{where}: {block.title} isn't there to be changed")
            changed = apply_diff(target.read_text().splitlines(), block.lines, where)
            target.write_text("\n".join(changed) + "\n")
        elif block.action == "run":
            for command in commands(block):
                print(f"$ {command}", flush=True)
                if subprocess.run(command, shell=True, cwd=root).returncode:
                    raise PageError(f"{where}: the command failed: {command}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    modes = parser.add_subparsers(dest="mode", required=True)
    for mode in ("build", "show"):
        sub = modes.add_parser(mode)
        sub.add_argument("page", type=Path)
        if mode == "build":
            sub.add_argument("directory", type=Path)
    args = parser.parse_args()
    try:
        if args.mode == "build":
            build(args.page, args.directory)
        else:
            for block in blocks(args.page.read_text()):
                if block.action != "none":
                    detail = block.title or "; ".join(commands(block))
                    print(f"{block.line:4} {block.action:6} {detail}")
    except PageError as error:
        sys.exit(f"run_blocks: {error}")


if __name__ == "__main__":
    main()
