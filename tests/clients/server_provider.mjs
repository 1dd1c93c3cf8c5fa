// The provider for servers: one request for each flag.

import { converse, load, resolve } from "./dialogue.mjs";

const { OpenFeature } = load("@openfeature/server-sdk");
const { OFREPProvider } = load("@openfeature/ofrep-provider");

let client;

await converse({
  async start({ url, key }) {
    const headers = [["Authorization", `Bearer ${key}`]];
    await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: url, headers }));
    client = OpenFeature.getClient();
    client.setLogger({ error() {}, warn() {}, info() {}, debug() {} });
  },
  ask: (question) => resolve(client, question),
});
