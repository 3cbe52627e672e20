// The one store of all replicas' sessions.

import { RedisStore } from "connect-redis";
import { createClient } from "redis";

import { list, required } from "./settings.js";

export const redis = createClient({
  url: required("REDIS_URL"),
  // While Redis is away requests fail at once and nobody is logged out; queued, they would hang.
  disableOfflineQueue: true,
  socket: { connectTimeout: 2000 },
});

// Without this line an error would end the process. The client connects again by itself.
redis.on("error", (error) => console.error(`sessions: ${error.code ?? error.constructor.name}`));

export function settings() {
  return {
    name: "sid",
    // The first key signs, all of them verify: a key can be replaced and nobody is logged out.
    secret: [required("SECRET_KEY"), ...list("SECRET_KEY_FALLBACKS")],
    store: new RedisStore({ client: redis, prefix: "session:" }),
    resave: false,
    // No session, and no cookie, for whoever isn't logged in: probes would fill the store.
    saveUninitialized: false,
    cookie: { secure: true, httpOnly: true, sameSite: "lax", maxAge: 31 * 24 * 60 * 60 * 1000 },
  };
}
