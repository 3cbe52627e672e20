// `node commands/canary.js` makes the account that Accord logs in with, without rights.

import { database } from "../src/database.js";
import { required } from "../src/settings.js";
import { ensure } from "../src/users.js";

await ensure({
  username: required("ACCORD_CANARY_USERNAME"),
  email: required("ACCORD_CANARY_EMAIL"),
  password: required("ACCORD_CANARY_PASSWORD"),
  role: "user",
});
await database.end();
