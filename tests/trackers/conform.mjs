// The trackers for Node: node conform.mjs CELL. See cell.mjs.
import { createRequire } from "node:module";
import { cell, email, hostile, huge, say, token, told } from "./cell.mjs";
const require = createRequire(process.cwd() + "/");
const { scenario, endpoint, key, count } = cell;
const flushAt = scenario === "batch" ? 20 : 1;

// Each gives what sends one event, what is done until all has arrived, and how it is ended.
const packages = {
  "@segment/analytics-node"() {
    const { Analytics } = require("@segment/analytics-node");
    const analytics = new Analytics({ writeKey: key, host: endpoint, flushAt, flushInterval: 200 });
    analytics.on("error", (error) => say(`lost ${error.reason?.message ?? error.reason ?? error.code}`));
    return {
      send: (number, path, more) => {
        if (number % 2 === 0) analytics.page({ userId: email, name: path, properties: { path, ...more } });
        else analytics.track({ userId: email, event: "Seen", properties: { path, ...more } });
      },
      end: () => analytics.closeAndFlush({ timeout: 1000 }),
    };
  },
  "analytics-node"() {
    const Analytics = require("analytics-node");
    const lost = (error) => error && say(`lost ${error.message ?? error}`);
    const analytics = new Analytics(key, { host: endpoint, flushAt, flushInterval: 200, errorHandler: lost });
    return {
      send: (number, path, more) => {
        if (number % 2 === 0) analytics.page({ userId: email, name: path, properties: { path, ...more } });
        else analytics.track({ userId: email, event: "Seen", properties: { path, ...more } });
      },
      end: () => {},
    };
  },
  "@rudderstack/rudder-sdk-node"() {
    const RudderAnalytics = require("@rudderstack/rudder-sdk-node");
    const settings = { dataPlaneUrl: endpoint, flushAt, flushInterval: 200, logLevel: "none", gzip: scenario !== "plain" };
    const rudder = new RudderAnalytics(key, settings);
    const done = (error) => error && say(`lost ${error.message ?? error}`);
    return {
      send: (number, path, more) => {
        if (number % 2 === 0) rudder.page({ userId: email, name: path, properties: { path, ...more } }, done);
        else rudder.track({ userId: email, event: "Seen", properties: { path, ...more } }, done);
      },
      end: () => {},
    };
  },
  "@jitsu/js"() {
    const { jitsuAnalytics } = require("@jitsu/js");
    const jitsu = jitsuAnalytics({ host: endpoint, writeKey: key + ":x" });
    return {
      begin: () => jitsu.identify(email, { email }).catch((error) => say(`lost ${error}`)),
      send: (number, path, more) =>
        Promise.resolve(jitsu.track("Seen", { path, ...more })).catch((error) => say(`lost ${error}`)),
      end: () => {},
    };
  },
  "@snowplow/node-tracker"() {
    const { newTracker, buildPageView, buildStructEvent, buildSelfDescribingEvent } = require("@snowplow/node-tracker");
    const tracker = newTracker(
      { namespace: "conform", appId: "website" },
      {
        endpoint, eventMethod: scenario === "get" ? "get" : "post", bufferSize: flushAt,
        onRequestFailure: (failure) => failure.willRetry || say(`lost ${failure.status} ${failure.message}`),
      },
    );
    tracker.setUserId(email);
    const own = (path, more) => ({ event: { schema: "iglu:com.acme/seen/jsonschema/1-0-0", data: { path, ...more } } });
    return {
      send: (number, path, more) => {
        if (Object.keys(more).length > 0) tracker.track(buildSelfDescribingEvent(own(path, more)));
        else if (number % 2 === 0) tracker.track(buildPageView({ pageUrl: "https://www.example.com" + path }));
        else tracker.track(buildStructEvent({ category: "seen", action: "seen", label: path, value: 42.5 }));
      },
      // It has no timer: what failed goes out with the next event, or when asked to.
      meanwhile: () => tracker.flush(),
      end: () => {},
    };
  },
};

// Rudder's rejects a promise that nobody holds.
process.on("unhandledRejection", (error) => say(`lost ${error}`));
const it = packages[cell.package]();
say("ready");
await told.go;
await it.begin?.();
for (let number = 0; number < count; number += 1) {
  if (scenario === "large" && number === 0) await it.send(number, token(number), { huge });
  else await it.send(number, token(number), scenario === "hostile" ? hostile(number) : {});
}
it.meanwhile?.();
say("sent");
const again = it.meanwhile && setInterval(it.meanwhile, 300);
await told.over;
clearInterval(again);
await it.end();
process.exit(0);
