"""The extractor: what it applies, and what it refuses."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import run_blocks
from run_blocks import PageError, apply_diff

FILE = ["KEY = 'abc'", "", "LIST = [", "    1,", "]"]


class DiffTests(unittest.TestCase):
    def test_replaces_adds_and_keeps(self):
        diff = ["-KEY = '...'", "+KEY = env", "", " LIST = [", "+    0,", "     ...,"]
        self.assertEqual(
            apply_diff(FILE, diff, "x"), ["KEY = env", "", "LIST = [", "    0,", "    1,", "]"]
        )

    def test_refuses_what_it_cannot_place(self):
        for diff in (["-NONE = 1"], ["+new"], ["-    1,", "-    2,"], ["*x"]):
            with self.subTest(diff=diff), self.assertRaises(PageError):
                apply_diff(FILE, diff, "x")
        with self.assertRaisesRegex(PageError, "found 2 times"):
            apply_diff(["a", "a"], ["-a"], "x")


class BuildTests(unittest.TestCase):
    def build(self, page):
        with tempfile.TemporaryDirectory() as directory:
            source = Path(directory, "page.md")
            source.write_text(page)
            run_blocks.build(source, Path(directory, "out"))
            return {p.name: p.read_text() for p in Path(directory, "out").iterdir()}

    def test_in_the_order_of_the_page(self):
        page = '```text title="a"\nx = 1\n```\n```diff title="a"\n-x = ...\n+x = 2\n```\n'
        page += "```console run\n$ cp a b\nshown\n```\n```console\n$ rm a\n```\n"
        self.assertEqual(self.build(page), {"a": "x = 2\n", "b": "x = 2\n"})

    def test_refuses(self):
        for page in (
            '```text title="../out2"\n```\n',
            '```diff title="absent"\n-a\n```\n',
            "```console run\n$ exit 3\n```\n",
            "```text\n",
        ):
            with self.subTest(page=page), self.assertRaises(PageError):
                self.build(page)


if __name__ == "__main__":
    unittest.main()
