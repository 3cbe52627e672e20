// Redis is away for a while: nobody is logged out, and the server neither ends nor hangs.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Replica } from "./replica.js";

function stores(command) {
  const { status } = spawnSync("bash", ["-c", `. ../testing/local-stores.sh; ${command}`], { stdio: "inherit" });
  assert.equal(status, 0, command);
}

test("without Redis the answer is 500 and the cookie stays; afterwards all is well without a restart", async (t) => {
  const replica = await Replica.start(t);
  const cookie = await replica.session();
  stores('stores_end "$STORES_DIR/cache.pid"');
  const answers = [];
  try {
    answers.push(await replica.send("GET", "/api/me", { cookie }), await replica.login(), await replica.send("GET", "/health/stores"));
    answers.push(await replica.send("GET", "/health"));
  } finally {
    stores("stores_cache_start");
  }
  assert.deepEqual(
    answers.map(({ status, line }) => [status, line]),
    [500, 500, 500, 200].map((status) => [status, undefined]),
  );

  const deadline = Date.now() + 30_000;
  while ((await replica.send("GET", "/health/stores")).status !== 200) {
    assert.ok(Date.now() < deadline, "the server doesn't connect to Redis again");
    await sleep(100);
  }
  // It came back empty: here it keeps nothing on disk.
  assert.equal(await replica.me(cookie), 401);
  assert.equal(await replica.me(await replica.session()), 200);
});
