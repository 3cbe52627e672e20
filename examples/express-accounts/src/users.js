// Who there is. Roles are read from the database each time: a change counts at once, on every replica.

import argon2 from "argon2";

import { database } from "./database.js";

// OWASP's first choice; the library's own default takes 64 MiB for each login.
const COST = { type: argon2.argon2id, memoryCost: 19456, timeCost: 2, parallelism: 1 };

// Verified where there is no such user, so that the time of an answer doesn't tell.
const nobody = argon2.hash("nobody", COST);

export async function authenticate(username, password) {
  const { rows } = await database.query("SELECT id, username, role, password_hash FROM users WHERE username = $1", [username]);
  const [user] = rows;
  const matches = await argon2.verify(user?.password_hash ?? (await nobody), password);
  return user && matches ? user : undefined;
}

export async function byId(id) {
  const { rows } = await database.query("SELECT id, username, role FROM users WHERE id = $1", [id]);
  return rows[0];
}

// Made, or made to be so: running it again does no harm.
export async function ensure({ username, email, role, password }) {
  const hash = await argon2.hash(password, COST);
  await database.query(
    `INSERT INTO users (username, email, role, password_hash) VALUES ($1, $2, $3, $4)
     ON CONFLICT (username) DO UPDATE SET email = $2, role = $3, password_hash = $4`,
    [username, email, role, hash],
  );
}
