// Prints the results of all audits of `graphql-http`, a JSON value per line.

import { auditServer } from "graphql-http";

const results = await auditServer({ url: process.argv[2] });
for (const { id, name, status, reason } of results) {
  console.log(JSON.stringify({ id, name, status, reason }));
}
process.exit(0);
