// What other systems send, by their own packages: CloudEvents in three modes, Matomo alone and in bulk, a Standard
// Webhook. Everything goes out twice, as after an answer that was lost, and then something that goes out once.
// node webhooks.mjs INGEST_URL WRITE_KEY WHSEC
import { createRequire } from "node:module";
const require = createRequire(process.cwd() + "/");
const { CloudEvent, HTTP, Mode, emitterFor, httpTransport } = require("cloudevents");
const MatomoTracker = require("matomo-tracker");
const { Webhook } = require("standardwebhooks");

const [ingest, writeKey, secret] = process.argv.slice(2);
const failed = [];

async function post(path, headers, body, expected) {
  const answer = await fetch(ingest + path, { method: "POST", headers, body });
  if (answer.status !== expected) failed.push(`${path}: ${answer.status} ${await answer.text()}`);
}

async function cloudEvents() {
  const email = "ce-node@acme.example";
  const event = (id, type, data) =>
    new CloudEvent({ id, type, source: "/site", subject: "lead/é", data: { email, ...data } });
  const form = event("1", "com.acme.form.submitted", { form: "newsletter" });
  const download = event("2", "com.acme.content.downloaded", { content: "wp.pdf" });
  const batch = [
    event("3", "com.acme.webinar.attended.v1", { webinar: "CRM" }),
    event("4", "com.acme.survey.answered", { survey: "needs" }),
  ];
  const send = (mode) => emitterFor(httpTransport(`${ingest}/events?writeKey=${writeKey}`), { binding: HTTP, mode });
  for (const _again of [1, 2]) {
    await send(Mode.BINARY)(form);
    await send(Mode.STRUCTURED)(download);
    const body = `[${batch.map((it) => HTTP.structured(it).body).join(",")}]`;
    await post("/events", { "content-type": "application/cloudevents-batch+json", "x-write-key": writeKey }, body, 200);
  }
  await send(Mode.BINARY)(event("5", "com.acme.marker", {}));
}

async function matomo() {
  const tracker = new MatomoTracker(writeKey, ingest + "/matomo.php");
  tracker.on("error", (error) => failed.push(`matomo: ${error}`));
  const hit = (rand, more) => ({ _id: "0123456789abcdef", uid: "matomo@acme.example", rand, url: "https://acme.example/" + rand, ...more });
  // The client says nothing when it is done, so what it sends alone is waited for on its socket.
  const alone = (options) =>
    new Promise((done) => {
      const { agent } = tracker;
      tracker.agent = { get: (url, callback) => agent.get(url, (answer) => (callback(answer), answer.resume().on("end", done))) };
      tracker.track(options);
      tracker.agent = agent;
    });
  const bulk = (events) => new Promise((done) => tracker.trackBulk(events, done));
  for (const _again of [1, 2]) {
    await alone(hit(1, { action_name: "Pricing" }));
    const said = JSON.parse(await bulk([hit(2, {}), hit(3, { download: "https://acme.example/wp.pdf" }), { url: "https://acme.example/nobody" }]));
    if (said.status !== "success" || said.tracked !== 2 || said.invalid !== 1) failed.push("bulk: " + JSON.stringify(said));
  }
  await alone(hit(4, { e_c: "test", e_a: "marker" }));
}

async function standardWebhooks() {
  const webhook = new Webhook(secret);
  const send = async (id, type, data) => {
    const [body, now] = [JSON.stringify({ type, data: { contact: { email: "sw-node@acme.example", ...data } } }), new Date()];
    const headers = { "webhook-id": id, "webhook-timestamp": String(Math.floor(now / 1000)), "webhook-signature": webhook.sign(id, now, body) };
    await post("/webhooks/generic", headers, body, 204);
    await post("/webhooks/generic", { ...headers, "webhook-signature": "v1,AAAA" }, body, 401);
  };
  for (const _again of [1, 2]) {
    await send("msg_1", "contact.created", { first_name: "Sora" });
    await send("msg_2", "email.opened", {});
  }
  await send("msg_3", "test.marker", {});
}

await Promise.all([cloudEvents(), matomo(), standardWebhooks()]);
if (failed.length > 0) {
  console.error(failed.join("\n"));
  process.exit(1);
}
