// The function behind a bare Node `http` server: nothing is stored.
import { createServer } from "node:http";
import { greet } from "./greet.mjs";

createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(greet(JSON.parse(Buffer.concat(chunks)))));
  });
}).listen(Number(process.env.PORT), "127.0.0.1");
