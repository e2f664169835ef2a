// A browser at the end of two pipes: one JSON command a line comes in, one JSON answer a line goes out.
//
// { "do": "open", "url": ... } and so on, see COMMANDS; answers are { "value": ... } or { "error": ... }. What the page
// writes to its console, fails to load or throws is kept for "complaints". Ends when standard input does.

import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const PATIENCE_MS = 20_000;
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
];

const browser = await chromium.launch({ executablePath: process.argv[2], args: FLAGS, headless: true });
let context, page;
let complaints = [];

async function fresh({ width = 1440, height = 900, scheme = "dark", motion = "reduce", touch = false }) {
  await context?.close();
  context = await browser.newContext({
    viewport: { width, height }, colorScheme: scheme, reducedMotion: motion, hasTouch: touch, isMobile: touch,
  });
  page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  complaints = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(`${message.type()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`thrown: ${error.message}`));
  page.on("dialog", (dialog) => {
    complaints.push(`dialogue: ${dialog.message()}`);
    dialog.dismiss();
  });
}

const COMMANDS = {
  fresh,
  open: async ({ url }) => (await page.goto(url, { waitUntil: "load" })).status(),
  click: ({ at }) => page.click(at),
  fill: ({ at, text }) => page.fill(at, text),
  press: ({ at, key }) => page.press(at, key),
  text: async ({ at }) => (await page.textContent(at)).trim(),
  texts: ({ at }) => page.locator(at).allTextContents(),
  evaluate: ({ script }) => page.evaluate(script),
  until: async ({ script, secs }) => {
    // Not waitForFunction, which evaluates inside the page, where its content policy forbids that.
    for (const end = Date.now() + (secs ? 1000 * secs : PATIENCE_MS); !(await page.evaluate(script)); await page.waitForTimeout(50)) {
      if (Date.now() > end) throw new Error(`never true: ${script}`);
    }
  },
  scheme: ({ scheme }) => page.emulateMedia({ colorScheme: scheme }),
  size: ({ width, height }) => page.setViewportSize({ width, height }),
  shoot: async ({ file, whole = false }) => { await page.screenshot({ path: file, fullPage: whole }); },
  url: () => page.url(),
  complaints: () => complaints.splice(0),
};

await fresh({});
process.stdout.write(`${JSON.stringify({ value: browser.version() })}\n`);
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  let answer;
  try {
    answer = { value: (await COMMANDS[command.do](command)) ?? null };
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
