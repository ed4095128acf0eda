// better-sse as its documentation has it: a session for each client, a channel for all.
import { createServer } from "node:http";
import { createServer as createControl } from "node:net";
import { createChannel, createSession } from "better-sse";

const channel = createChannel();
const letters = "abcdefghijklmnopqrstuvwxyz".repeat(3000);
let next = 0;

const server = createServer(async (request, response) => {
    response.socket.setNoDelay(true);
    const session = await createSession(request, response, { keepAlive: null, serializer: (data) => data });
    if (request.url === "/first") session.push("first");
    else channel.register(session);
});

const control = createControl((connection) => {
    connection.on("close", () => process.exit());
    connection.on("data", (lines) => {
        for (const line of lines.toString().trimEnd().split("\n")) {
            const [, events, size] = line.split(" ").map(Number);
            for (let left = events; left > 0; left--) {
                const id = String(next++);
                const data = id.padStart(10, "0") + letters.slice(0, size - 10);
                channel.broadcast(data, "message", { eventId: id });
            }
        }
    });
});

server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () =>
    control.listen(0, "127.0.0.1", () => console.log(`ready ${server.address().port} ${control.address().port}`)));
