// A person's way on a website, sent by Segment's own package: two anonymous page views, identify, a demo request.
// node segment.mjs INGEST_URL WRITE_KEY ANONYMOUS_ID USER_ID EMAIL
import { createRequire } from "node:module";
const require = createRequire(process.cwd() + "/");
const { Analytics } = require("@segment/analytics-node");

const [host, writeKey, anonymousId, userId, email] = process.argv.slice(2);
const analytics = new Analytics({ host, writeKey, flushAt: 1 });
const lost = [];
analytics.on("error", (error) => lost.push(String(error.reason ?? error.code ?? error)));

const page = (path, minutesAgo) =>
  analytics.page({
    anonymousId,
    name: path,
    timestamp: new Date(Date.now() - minutesAgo * 60_000),
    properties: { path, url: "https://www.example.com" + path, title: "Page " + path },
  });
page("/", 30);
page("/pricing", 20);
analytics.identify({
  anonymousId,
  userId,
  traits: { email, name: "Hanako Yamada", title: "VP Sales", company: { name: "Acme", industry: "Software", employees: 250 } },
});
analytics.track({ userId, event: "Form Submitted", properties: { form: "demo-request" } });
await analytics.closeAndFlush();
if (lost.length > 0) {
  console.error("lost: " + lost.join(", "));
  process.exit(1);
}
