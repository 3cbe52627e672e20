// Two servers beside each other are one service.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";

import { Replica } from "./replica.js";

test("what one issues the other honours, and what one ends both refuse", async (t) => {
  const [one, two] = [await Replica.start(t), await Replica.start(t)];
  for (const [here, there] of [[one, two], [two, one]]) {
    const cookie = await here.session();
    assert.deepEqual([await here.me(cookie), await there.me(cookie)], [200, 200]);
    assert.equal((await there.send("POST", "/api/logout", { cookie })).status, 200);
    assert.deepEqual([await here.me(cookie), await there.me(cookie)], [401, 401]);
  }
});

test("a session outlives the server that made it, which ends in order", async (t) => {
  const first = await Replica.start(t);
  const cookie = await first.session();
  assert.equal(await first.stop(), 0);
  assert.equal(await (await Replica.start(t)).me(cookie), 200);
});

test("a key that is replaced verifies on as a fallback, and not otherwise", async (t) => {
  const old = await Replica.start(t, { SECRET_KEY: "the old key" });
  const both = await Replica.start(t, { SECRET_KEY: "the new key", SECRET_KEY_FALLBACKS: "the old key" });
  const without = await Replica.start(t, { SECRET_KEY: "the new key" });
  const cookie = await old.session();
  assert.deepEqual([await both.me(cookie), await without.me(cookie)], [200, 401]);
});

test("who isn't logged in gets no session, and no cookie", async (t) => {
  const replica = await Replica.start(t);
  const cookie = await replica.session();
  const refused = [
    await replica.login("member1", "wrong"),
    await replica.login("no such user"),
    await replica.send("GET", "/api/me"),
    await replica.send("GET", "/api/me", { cookie: cookie.replace(/.$/, (last) => (last === "a" ? "b" : "a")) }),
    await replica.send("POST", "/api/logout"),
  ];
  assert.deepEqual(refused.map(({ status, line }) => [status, line]), Array(5).fill([401, undefined]));
  assert.equal((await replica.login(undefined, { password: "an object" })).status, 400);
});

test("the cookie goes over TLS only, and isn't set at all where the router doesn't say so", async (t) => {
  const replica = await Replica.start(t);
  const { line } = await replica.login();
  for (const attribute of ["Secure", "HttpOnly", "SameSite=Lax", "Expires="]) {
    assert.match(line, new RegExp(attribute));
  }
  const plain = await replica.login(undefined, undefined, { headers: { Host: "accounts.example.com" } });
  assert.deepEqual([plain.status, plain.line], [200, undefined]);
});

test("another login is another session", async (t) => {
  const replica = await Replica.start(t);
  const cookie = await replica.session();
  const again = await replica.login(undefined, undefined, { cookie });
  assert.notEqual(again.line.split(";")[0], cookie);
  assert.equal(await replica.me(cookie), 401);
});

test("health: the process, and the stores", async (t) => {
  const replica = await Replica.start(t);
  for (const path of ["/health", "/health/stores"]) {
    assert.equal((await replica.send("GET", path, { headers: {} })).status, 200);
  }
});

test("a variable that is missing is named", () => {
  for (const name of ["DATABASE_URL", "REDIS_URL", "SECRET_KEY"]) {
    const { status, stderr } = spawnSync(process.execPath, ["src/server.js"], {
      env: { ...process.env, [name]: "" },
      encoding: "utf8",
      timeout: 30_000,
    });
    assert.deepEqual([status, stderr], [1, `${name} is not set.\n`]);
  }
});
