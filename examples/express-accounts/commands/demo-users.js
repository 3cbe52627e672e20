// `node commands/demo-users.js` makes the users of a demonstration, with the password in DEMO_USERS_PASSWORD.

import { database } from "../src/database.js";
import { required } from "../src/settings.js";
import { ensure } from "../src/users.js";

const password = required("DEMO_USERS_PASSWORD");
if (password.length < 12) {
  console.error("DEMO_USERS_PASSWORD has fewer than 12 characters.");
  process.exit(1);
}
const users = { member1: "user", member2: "user", admin1: "admin" };
for (const [username, role] of Object.entries(users)) {
  await ensure({ username, email: `${username}@example.com`, role, password });
}
await database.end();
console.log(Object.keys(users).join(" "));
