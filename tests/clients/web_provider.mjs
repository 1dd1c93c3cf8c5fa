// The provider for browsers: one request for all flags, again for each context and by polling.

import { converse, load, resolve } from "./dialogue.mjs";

const { ClientProviderEvents, OpenFeature } = load("@openfeature/web-sdk");
const { OFREPWebProvider } = load("@openfeature/ofrep-web-provider");

const client = OpenFeature.getClient();
const silent = { error() {}, warn() {}, info() {}, debug() {} };
const requests = [];

async function recorded(request) {
  const said = request.headers.get("If-None-Match");
  const response = await fetch(request);
  requests.push({ said, status: response.status, tag: response.headers.get("ETag") });
  return response;
}

await converse({
  async start({ url, key, context, pollInterval }) {
    client.setLogger(silent);
    const options = {
      baseUrl: url,
      headers: [["Authorization", `Bearer ${key}`]],
      pollInterval,
      fetchImplementation: recorded,
      cacheMode: "disabled",
    };
    await OpenFeature.setContext(context);
    await OpenFeature.setProviderAndWait(new OFREPWebProvider(options, silent));
  },
  context: ({ context }) => OpenFeature.setContext(context),
  ask: (question) => resolve(client, question),
  requests: () => requests,
  /** Answers when a change that the provider announces has brought this value. */
  until: (question) =>
    new Promise((done) => {
      const look = async () => {
        const found = await resolve(client, question);
        if (found.value === question.value) {
          client.removeHandler(ClientProviderEvents.ConfigurationChanged, look);
          done(found);
        }
      };
      client.addHandler(ClientProviderEvents.ConfigurationChanged, look);
      void look();
    }),
});
