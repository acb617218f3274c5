// What people did, one call after the other, sent by Segment's own package.
// node people.mjs INGEST_URL WRITE_KEY CALLS; CALLS is JSON: [["track", {anonymousId, event, ..., minutesAgo}], ...]
import { createRequire } from "node:module";
const require = createRequire(process.cwd() + "/");
const { Analytics } = require("@segment/analytics-node");

const [host, writeKey, calls] = process.argv.slice(2);
const analytics = new Analytics({ host, writeKey, flushAt: 1 });
const lost = [];
analytics.on("error", (error) => lost.push(String(error.reason ?? error.code ?? error)));
for (const [call, { minutesAgo, ...message }] of JSON.parse(calls)) {
  analytics[call]({ ...message, timestamp: new Date(Date.now() - minutesAgo * 60_000) });
}
await analytics.closeAndFlush();
if (lost.length > 0) {
  console.error("lost: " + lost.join(", "));
  process.exit(1);
}
