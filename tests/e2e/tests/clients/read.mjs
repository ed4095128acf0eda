// Reads events by npm's eventsource until the server says 204, and prints what it saw as JSON. It reconnects by itself.
//
// read.mjs eventsource URL

import { createRequire } from "node:module";

// Not `import`, which does not look at NODE_PATH.
const { EventSource } = createRequire(import.meta.url)("eventsource");

const events = [];
let connections = 0;
let last = "";
const source = new EventSource(process.argv[3]);

for (const name of ["message", "price"]) {
  source.addEventListener(name, (event) => {
    // It has no id here for an event without one, though it reconnects with the one before, as it should.
    last = event.lastEventId || last;
    events.push({ event: event.type, data: event.data, id: last });
  });
}
source.onopen = () => connections++;
source.onerror = (error) => {
  if (source.readyState !== EventSource.CLOSED) return;
  if (error.code !== 204) throw error;
  console.log(JSON.stringify({ events, connections }));
};
