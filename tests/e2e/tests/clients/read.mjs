// Reads events by a package of npm until the server says 204, and prints what it saw as JSON. Each reconnects by itself.
//
// read.mjs eventsource|event-source-polyfill URL

import { createRequire } from "node:module";

// Not `import`, which does not look at NODE_PATH.
const { EventSource, EventSourcePolyfill } = createRequire(import.meta.url)(process.argv[2]);
// The polyfill says what it does on standard output.
console.error = console.warn = console.info = () => {};

const events = [];
let connections = 0;
let last = "";
const source = new (EventSourcePolyfill ?? EventSource)(process.argv[3]);

for (const name of ["message", "price"]) {
  source.addEventListener(name, (event) => {
    // It has no id here for an event without one, though it reconnects with the one before, as it should.
    last = event.lastEventId || last;
    events.push({ event: event.type, data: event.data, id: last });
  });
}
source.onopen = () => connections++;
source.onerror = (error) => {
  if (error.error instanceof TypeError) {
    // The polyfill fails on a 204, which has no body, and would come back.
    if (!error.error.message.includes("getReader")) throw error.error;
    source.close();
  } else {
    if (source.readyState !== source.CLOSED) return;
    if (error.code !== 204) throw error;
  }
  console.log(JSON.stringify({ events, connections }));
};
