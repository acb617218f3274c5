// How one run of one tracker is told what to do, and tells what it did.
//
// Standard input: "go" when it may send; its end when all has arrived, or nothing more is awaited.
// Standard output: "ready" once loaded, "sent" once everything is handed to the package, "blocked" when a browser has refused
// a request, "lost REASON" when the package gives an event up.
import { createInterface } from "node:readline";

// {package, scenario, endpoint, key, cell, count}
export const cell = JSON.parse(process.argv[2]);
export const email = `${cell.cell}@conform.example`;
export const say = (line) => console.log(String(line).replace(/\s+/g, " "));

let go;
let over;
export const told = { go: new Promise((done) => (go = done)), over: new Promise((done) => (over = done)) };
const input = createInterface({ input: process.stdin });
input.on("line", go);
input.on("close", () => (go(), over()));

// By which an event is found again on the log. Zeros in front, so that none is a part of another.
export const token = (number) => `/conform/${cell.cell}/${String(number).padStart(4, "0")}`;

// What clients have sent that broke other collectors. The package must be able to send it.
export function hostile(number) {
  const deep = (levels) => (levels === 0 ? 1 : [deep(levels - 1)]);
  const all = [{ surrogate: "a\ud800b" }, { nul: "a\u0000b" }, { deep: deep(150) }, { big: 2 ** 70, text: "\u2028</script>" }, { "": null, __proto__x: [] }];
  return all[number % all.length];
}

export const huge = "x".repeat(5_000_000);
