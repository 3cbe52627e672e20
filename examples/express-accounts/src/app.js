// The application: health, login, who am I, logout.

import express from "express";
import session from "express-session";

import { database } from "./database.js";
import { redis } from "./sessions.js";
import { authenticate, byId } from "./users.js";

export function accounts(settings) {
  const app = express();
  app.disable("x-powered-by");
  // The router ends TLS and says so in X-Forwarded-Proto. Without this line express-session takes the connection for
  // plain HTTP and, the cookie being `secure`, sets none: every login would be lost, without an error.
  app.set("trust proxy", 1);

  // Before the sessions: a probe asks this process and no store.
  app.get("/health", (_request, response) => response.json({ status: "ok" }));
  app.get("/health/stores", async (_request, response) => {
    await Promise.all([database.query("SELECT 1"), redis.ping()]);
    response.json({ status: "ok" });
  });

  app.use(express.json({ limit: "10kb" }));
  app.use(session(settings));
  app.post("/api/login", login);
  app.get("/api/me", me);
  app.post("/api/logout", logout(settings));

  // Express knows an error's handler by its four parameters.
  app.use((error, request, response, _next) => {
    const status = error.status ?? 500;
    if (status >= 500) {
      // Not the message: it may hold what was sent.
      console.error(`${request.method} ${request.path}: ${error.code ?? error.constructor.name}`);
      // Otherwise express-session would now try to save once more, and set the cookie of a login that failed.
      request.session = undefined;
    }
    response.status(status).json({ error: status >= 500 ? "try again" : "not understood" });
  });
  return app;
}

const callback = (act) => new Promise((resolve, reject) => act((error) => (error ? reject(error) : resolve())));

async function login(request, response) {
  const { username, password } = request.body ?? {};
  if (typeof username !== "string" || typeof password !== "string") {
    return response.status(400).json({ error: "username and password as JSON" });
  }
  const user = await authenticate(username, password);
  if (!user) {
    return response.status(401).json({ error: "wrong username or password" });
  }
  // Another id than before the login: somebody else may know that one.
  await callback((done) => request.session.regenerate(done));
  request.session.user = user.id;
  // By itself express-session saves while the answer is on its way, and says 200 also where it couldn't.
  await callback((done) => request.session.save(done));
  response.json({ username: user.username, role: user.role });
}

async function me(request, response) {
  const user = request.session.user && (await byId(request.session.user));
  if (!user) {
    return response.status(401).json({ error: "not logged in" });
  }
  response.json({ username: user.username, role: user.role });
}

const logout = ({ name, cookie }) =>
  async function logout(request, response) {
    if (!request.session.user) {
      return response.status(401).json({ error: "not logged in" });
    }
    await callback((done) => request.session.destroy(done));
    const { maxAge, ...attributes } = cookie;
    response.clearCookie(name, attributes).json({ status: "logged out" });
  };
