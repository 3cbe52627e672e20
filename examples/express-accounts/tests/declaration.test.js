// `recipe.yaml` is for `accord verify`; the declaration has the same words, indented.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

test("recipe.yaml is the declaration's recipe", async () => {
  const read = (name) => readFile(new URL(`../${name}`, import.meta.url), "utf8");
  const recipe = (await read("recipe.yaml")).replace(/^(?=.)/gm, "      ");
  assert.ok((await read("authservice.yaml")).endsWith(`    recipe:\n${recipe}`));
});
