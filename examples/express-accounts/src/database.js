// The one Postgres of all replicas. TLS parameters in the URL reach the driver.

import pg from "pg";

import { required } from "./settings.js";

export const database = new pg.Pool({
  connectionString: required("DATABASE_URL"),
  max: 5,
  connectionTimeoutMillis: 2000,
  query_timeout: 5000,
});

// A connection that broke while nobody used it. Without this line it would end the process.
database.on("error", (error) => console.error(`database: ${error.code ?? error.constructor.name}`));
