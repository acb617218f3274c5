// What people did, one call after the other, sent by Segment's own package, or by RudderStack's.
// node people.mjs INGEST_URL WRITE_KEY CALLS [rudder]; CALLS is JSON: [["track", {anonymousId, event, ..., minutesAgo}], ...]
import { createRequire } from "node:module";
const require = createRequire(process.cwd() + "/");

const [host, writeKey, calls, sender = "segment"] = process.argv.slice(2);
const lost = [];

// Each gives what sends one message, and what is done until all has arrived.
const senders = {
  segment() {
    const { Analytics } = require("@segment/analytics-node");
    const analytics = new Analytics({ host, writeKey, flushAt: 1 });
    analytics.on("error", (error) => lost.push(String(error.reason ?? error.code ?? error)));
    return { send: (call, message) => analytics[call](message), end: () => analytics.closeAndFlush() };
  },
  rudder() {
    const Rudder = require("@rudderstack/rudder-sdk-node");
    const rudder = new Rudder(writeKey, { dataPlaneUrl: host, flushAt: 1, logLevel: "none" });
    const sent = (call, message) =>
      new Promise((resolve) => {
        rudder[call](message, (error) => {
          if (error) lost.push(String(error.message ?? error));
          resolve();
        });
      });
    return { send: sent, end: () => {} };
  },
};

const { send, end } = senders[sender]();
for (const [call, { minutesAgo, ...message }] of JSON.parse(calls)) {
  await send(call, { ...message, timestamp: new Date(Date.now() - minutesAgo * 60_000) });
}
await end();
if (lost.length > 0) {
  console.error("lost: " + lost.join(", "));
  process.exit(1);
}
