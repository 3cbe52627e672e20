// `node commands/migrate.js` runs each file of migrations/ once, in the order of their names.
//
// It takes no lock: Accord runs it under one, and no two at a time.

import { readFile, readdir } from "node:fs/promises";

import { database } from "../src/database.js";

const folder = new URL("../migrations/", import.meta.url);
const client = await database.connect();
await client.query("CREATE TABLE IF NOT EXISTS schema_migrations (name text PRIMARY KEY)");
for (const name of (await readdir(folder)).filter((file) => file.endsWith(".sql")).sort()) {
  const { rowCount } = await client.query("SELECT FROM schema_migrations WHERE name = $1", [name]);
  if (rowCount) {
    continue;
  }
  // With its name in one transaction: a file that fails leaves nothing.
  await client.query("BEGIN");
  await client.query(await readFile(new URL(name, folder), "utf8"));
  await client.query("INSERT INTO schema_migrations VALUES ($1)", [name]);
  await client.query("COMMIT");
  console.log(name);
}
client.release();
await database.end();
