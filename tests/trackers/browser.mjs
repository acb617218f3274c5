// The trackers for browsers, in Chromium with web security on; page and collector are of different origins.
// node browser.mjs CELL, spoken to as cell.mjs says; without CELL the one browser that all share: it prints its address.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
const require = createRequire(process.cwd() + "/");
const { chromium } = require("playwright-core");

if (process.argv[2] === undefined) {
  const server = await chromium.launchServer({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync",
      // A container's shared memory may be too small for a dozen pages.
      "--disable-dev-shm-usage",
    ],
  });
  console.log(server.wsEndpoint());
  process.stdin.on("end", () => server.close().then(() => process.exit(0))).resume();
} else {
  await run();
}

async function run() {
  const { cell, email, hostile, say, token, told } = await import("./cell.mjs");
  const { scenario, endpoint, key, count } = cell;
  const files = {
    "@segment/analytics-next": "dist/umd/index.js",
    "@rudderstack/analytics-js": "dist/npm/modern/bundled/umd/index.js",
    "@snowplow/browser-tracker": "dist/index.umd.min.js",
    "@jitsu/js": "dist/jitsu.es.js",
  };
  const file = `${process.cwd()}/node_modules/${cell.package}/${files[cell.package]}`;
  // Another origin, and another site, than the collector at 127.0.0.1.
  const site = createServer((request, response) => {
    if (request.url === "/tracker.js") {
      response.writeHead(200, { "content-type": "text/javascript" }).end(readFileSync(file));
    } else {
      const script = cell.package !== "@jitsu/js" ? '<script src="/tracker.js"></script>' : "";
      response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(`<!doctype html><title>Page</title>${script}`);
    }
  });
  await new Promise((done) => site.listen(0, "127.0.0.1", done));
  const origin = `http://localhost:${site.address().port}`;

  const browser = await chromium.connect(cell.browser, { timeout: 0 });
  const context = await browser.newContext();
  // Who waits for this decides how long.
  context.setDefaultTimeout(0);
  // On a machine without a network some trackers wait for it to come back, though all they need is here.
  await context.addInitScript(() => Object.defineProperty(navigator, "onLine", { get: () => true }));
  const page = await context.newPage();
  page.on("pageerror", (error) => say(`lost ${error}`));
  let refused;
  const blocked = new Promise((done) => (refused = done));
  page.on("requestfailed", (request) => {
    if (!request.url().startsWith(endpoint)) return;
    say(`blocked ${request.failure()?.errorText}`);
    refused(false);
  });
  page.on("console", (message) => process.env.CONFORM_VERBOSE && say(`console ${message.text()}`));
  await page.goto(origin + "/");
  say("ready");
  await told.go;
  const begin = () => page.evaluate(start, { name: cell.package, scenario, endpoint, key, email });
  // Some ask for settings first, and without them do not start.
  const starting = begin().then(() => true, (error) => (say(`lost ${error}`), false));
  const started = await (scenario === "no-cors" ? Promise.race([starting, blocked]) : starting);
  // As source: not every hostile value would survive the way into the page.
  await page.evaluate(`window.more = ${scenario === "hostile" ? hostile : "() => ({})"}`);
  const paths = Array.from({ length: count }, (_, number) => token(number));
  // Leaving in the same task as the calls: nothing is on its way before.
  const sending = ({ paths, leave }) => {
    for (const [number, path] of paths.entries()) window.seen(number, { path, ...window.more(number) });
    if (leave) location.href = "/elsewhere";
  };
  if (started) await page.evaluate(sending, { paths, leave: scenario === "leave" });
  if (scenario === "leave") {
    // Every page of a site has the tracker.
    await page.waitForURL("**/elsewhere");
    await begin();
  }
  say("sent");
  const again = setInterval(() => scenario === "leave" || page.evaluate(() => window.again?.()).catch(() => {}), 300);
  await told.over;
  clearInterval(again);
  await browser.close();
  process.exit(0);
}

// Runs in the page: starts the package, and makes window.seen(number, properties) and, if it needs that, window.again().
async function start({ name, scenario, endpoint, key, email }) {
  const batch = scenario === "batch";
  const packages = {
    async "@segment/analytics-next"() {
      const strategy = batch ? { deliveryStrategy: { strategy: "batching", config: { size: 10, timeout: 500 } } } : {};
      const integrations = { "Segment.io": { apiHost: endpoint.replace("http://", "") + "/v1", protocol: "http", ...strategy } };
      const [analytics] = await window.AnalyticsNext.AnalyticsBrowser.load({ writeKey: key, cdnURL: endpoint }, { integrations });
      analytics.identify(email, { email });
      window.seen = (number, event) => (number % 2 === 0 ? analytics.page(event.path, event) : analytics.track("Seen", event));
    },
    async "@rudderstack/analytics-js"() {
      const analytics = new window.rudderanalytics.RudderAnalytics();
      const options = { configUrl: endpoint, logLevel: "NONE" };
      if (batch) options.queueOptions = { batch: { enabled: true, maxItems: 10, flushInterval: 500 } };
      if (scenario === "leave") options.useBeacon = true;
      analytics.load(key, endpoint, options);
      await new Promise((done) => analytics.ready(done));
      analytics.identify(email, { email });
      window.seen = (number, event) => (number % 2 === 0 ? analytics.page("Pages", event.path, event) : analytics.track("Seen", event));
    },
    async "@snowplow/browser-tracker"() {
      const snowplow = window.snowplowBrowserTracking;
      snowplow.newTracker("sp", endpoint, {
        appId: "website", bufferSize: batch ? 10 : 1, keepalive: scenario === "leave", eventMethod: scenario === "get" ? "get" : "post",
      });
      snowplow.setUserId(email);
      window.seen = (number, event) => {
        if (number % 2 === 0 && Object.keys(event).length === 1) snowplow.trackPageView({ title: event.path });
        else snowplow.trackSelfDescribingEvent({ event: { schema: "iglu:com.acme/seen/jsonschema/1-0-0", data: event } });
      };
      window.again = () => snowplow.flushBuffer();
    },
    async "@jitsu/js"() {
      const { jitsuAnalytics } = await import("/tracker.js");
      const jitsu = jitsuAnalytics({ host: endpoint, writeKey: key + ":x" });
      jitsu.identify(email, { email }).catch(() => {});
      window.seen = (number, event) => jitsu.track("Seen", event).catch(() => {});
    },
  };
  await packages[name]();
}
