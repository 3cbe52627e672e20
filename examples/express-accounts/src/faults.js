// What goes wrong between replicas, each chosen by ACCOUNTS_FAULT. Nothing here is part of a right application.
//
// Jobs get the same environment and stay right: a fault begins where the server starts.

import { randomBytes } from "node:crypto";

import session from "express-session";

const FAULTS = {
  none: () => ({}),
  // What express-session does when it is given no store.
  "memory-sessions": () => ({ store: new session.MemoryStore() }),
  "key-per-start": () => ({ secret: randomBytes(32).toString("hex") }),
};

export function withFault(settings) {
  const name = process.env.ACCOUNTS_FAULT || "none";
  if (!Object.hasOwn(FAULTS, name)) {
    console.error(`ACCOUNTS_FAULT is '${name}', expected one of ${Object.keys(FAULTS).join(", ")}.`);
    process.exit(1);
  }
  return { ...settings, ...FAULTS[name]() };
}
