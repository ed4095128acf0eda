// Asks by Google's SDK and prints what it got as JSON.
//
// ask_google.mjs URL

import { createRequire } from "node:module";

// Not `import`, which does not look at NODE_PATH.
const { GoogleGenAI } = createRequire(import.meta.url)("@google/genai");

const client = new GoogleGenAI({ apiKey: "any", httpOptions: { baseUrl: process.argv[2] } });
let text = "";
let raised = null;
try {
  for await (const chunk of await client.models.generateContentStream({ model: "small", contents: "count to 3" })) {
    text += chunk.text;
  }
} catch (error) {
  raised = error.name;
}
console.log(JSON.stringify([{ text, raised }]));
