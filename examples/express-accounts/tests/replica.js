// A real server process as a replica, on the one database and the one cache of the tests.

import { spawn } from "node:child_process";
import { request } from "node:http";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const PASSWORD = "correct horse battery";
const PROJECT = fileURLToPath(new URL("..", import.meta.url));
const HEADERS = { Host: "accounts.example.com", "X-Forwarded-Proto": "https" };

export class Replica {
  // Ends with the test `t`.
  static async start(t, environment = {}) {
    const replica = new Replica();
    replica.process = spawn(process.execPath, ["src/server.js"], {
      cwd: PROJECT,
      env: { ...process.env, PORT: "0", ...environment },
      stdio: ["ignore", "pipe", "inherit"],
    });
    t.after(() => replica.stop());
    // Ends without such a line when the process does.
    for await (const line of createInterface(replica.process.stdout)) {
      const port = line.match(/^listening on port (\d+)$/)?.[1];
      if (port) {
        replica.port = port;
        return replica;
      }
    }
    throw new Error("the server ended before it listened");
  }

  // Status, JSON and the Set-Cookie line, on a connection of its own.
  send(method, path, { body, cookie, headers = HEADERS } = {}) {
    return new Promise((resolve, reject) => {
      const options = { host: "127.0.0.1", port: this.port, method, path, agent: false, timeout: 30_000 };
      const all = { ...headers, ...(cookie && { Cookie: cookie }), ...(body && { "Content-Type": "application/json" }) };
      const sent = request({ ...options, headers: all }, async (answer) => {
        const text = (await answer.toArray()).join("");
        resolve({ status: answer.statusCode, json: JSON.parse(text), line: answer.headers["set-cookie"]?.[0] });
      });
      sent.on("timeout", () => sent.destroy(new Error(`${method} ${path}: no answer`)));
      sent.on("error", reject);
      sent.end(body && JSON.stringify(body));
    });
  }

  login(username = "member1", password = PASSWORD, options = {}) {
    return this.send("POST", "/api/login", { body: { username, password }, ...options });
  }

  // The cookie of a login, as a browser sends it back.
  async session() {
    const { status, line } = await this.login();
    if (status !== 200 || !line) {
      throw new Error(`the login answered ${status}, ${line ? "with" : "without"} a cookie`);
    }
    return line.split(";")[0];
  }

  async me(cookie) {
    return (await this.send("GET", "/api/me", { cookie })).status;
  }

  // Waits for the end. A second call does nothing.
  async stop() {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      const ended = new Promise((resolve) => this.process.once("exit", resolve));
      this.process.kill("SIGTERM");
      await ended;
    }
    return this.process.exitCode;
  }
}
