// `node src/server.js`: one process a replica; more replicas are what scales it.

import { accounts } from "./app.js";
import { database } from "./database.js";
import { withFault } from "./faults.js";
import { redis, settings } from "./sessions.js";

const app = accounts(withFault(settings()));
await redis.connect();

const server = app.listen(Number(process.env.PORT ?? 8080), (error) => {
  if (error) {
    throw error;
  }
  console.log(`listening on port ${server.address().port}`);
});
// Longer than a router keeps an idle connection: otherwise it sends a request into one that is being closed.
server.keepAliveTimeout = 75_000;

// What is under way is answered. As the container's first process Node has no default for these signals.
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.once(signal, () => {
    server.close(async () => {
      await Promise.allSettled([database.end(), redis.close()]);
    });
  });
}
