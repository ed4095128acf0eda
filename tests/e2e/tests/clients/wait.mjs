// Opens an event stream by a client of npm and lets it wait: the server says for how long, and counts how often it comes.
//
// wait.mjs CLIENT URL

import { createRequire } from "node:module";

// Not `import`, which does not look at NODE_PATH.
const require = createRequire(import.meta.url);

const clients = {
  "@microsoft/fetch-event-source": (url) => {
    // Made for pages.
    globalThis.window = globalThis;
    globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
    // It takes an end for good, unless `onclose` throws.
    const onclose = () => { throw new Error("the stream has ended"); };
    require("@microsoft/fetch-event-source").fetchEventSource(url, { openWhenHidden: true, onclose });
  },
  eventsource: (url) => new (require("eventsource").EventSource)(url),
  "eventsource-client": (url) => require("eventsource-client").createEventSource(url),
  "extended-eventsource": (url) => new (require("extended-eventsource").EventSource)(url, { disableLogger: true }),
  "launchdarkly-eventsource": (url) => {
    new (require("launchdarkly-eventsource").EventSource)(url).onerror = () => {};
  },
  "reconnecting-eventsource": (url) => {
    globalThis.EventSource = require("eventsource").EventSource;
    new (require("reconnecting-eventsource").default)(url);
  },
  undici: (url) => {
    // Its timer does not keep the process.
    setInterval(() => {}, 1000);
    new (require("undici").EventSource)(url);
  },
};

clients[process.argv[2]](process.argv[3]);
