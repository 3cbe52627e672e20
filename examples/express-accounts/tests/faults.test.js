// Each fault is one: two real servers beside each other disagree, with every health check green.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";

import { Replica } from "./replica.js";

for (const fault of ["memory-sessions", "key-per-start"]) {
  test(`${fault}: a session is known where it began`, async (t) => {
    const [one, two] = [await Replica.start(t, { ACCOUNTS_FAULT: fault }), await Replica.start(t, { ACCOUNTS_FAULT: fault })];
    const cookie = await one.session();
    assert.deepEqual([await one.me(cookie), await two.me(cookie), await one.me(cookie)], [200, 401, 200]);
    for (const replica of [one, two]) {
      assert.equal((await replica.send("GET", "/health/stores")).status, 200);
    }
  });
}

test("an unknown one stops the server by name", () => {
  const { status, stderr } = spawnSync(process.execPath, ["src/server.js"], {
    env: { ...process.env, ACCOUNTS_FAULT: "memory" },
    encoding: "utf8",
    timeout: 30_000,
  });
  assert.deepEqual([status, stderr], [1, "ACCOUNTS_FAULT is 'memory', expected one of none, memory-sessions, key-per-start.\n"]);
});
