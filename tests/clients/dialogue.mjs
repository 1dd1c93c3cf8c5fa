// What both clients share: packages of the folder that the process runs in, and a dialogue of one
// JSON line per request on stdin and one per answer on stdout.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

export const load = createRequire(`${process.cwd()}/`);

/** What a client resolves for `{type, flag, default, context}`. */
export async function resolve(client, { type, flag, default: fallback, context }) {
  const method = `get${type[0].toUpperCase()}${type.slice(1)}Details`;
  const more = context === undefined ? [] : [context];
  return await client[method](flag, fallback, ...more);
}

/** `commands` has a function for each `do`; ends when stdin ends. */
export async function converse(commands) {
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    let answer;
    try {
      answer = { found: (await commands[request.do](request)) ?? null };
    } catch (error) {
      answer = { raised: `${error.name}: ${error.message}` };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
  process.exit(0);
}
