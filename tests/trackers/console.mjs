// A sales rep's way through the console in a real browser: signs in, finds the lead, reads the reasons, accepts.
// node console.mjs CONSOLE_URL API_TOKEN EMAIL SCREENSHOT_FOLDER  ->  what was seen, as JSON
import { createRequire } from "node:module";
const require = createRequire(process.cwd() + "/");
const { chromium } = require("playwright-core");

const [base, token, email, folder] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
  ],
});
const seen = { errors: [] };
try {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: "en-GB" });
  const page = await context.newPage();
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && seen.errors.push(message.text()));

  await page.goto(base);
  await page.fill("input[name=token]", token);
  await page.click("button[type=submit]");
  await page.fill("input[name=search]", email);
  await page.press("input[name=search]", "Enter");
  seen.list = await page.innerText("main");
  await page.screenshot({ path: folder + "/list-wide.png", fullPage: true });
  await page.click(`main a:has-text("${email}"), main a:has-text("Hanako")`);
  await page.waitForURL(/leads\//);
  seen.lead = await page.innerText("main");
  await page.screenshot({ path: folder + "/lead-wide.png", fullPage: true });
  await page.setViewportSize({ width: 390, height: 844 });
  seen.narrowOverflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  await page.screenshot({ path: folder + "/lead-narrow.png", fullPage: true });
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
