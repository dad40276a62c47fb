// The function as a Restate service; the server calls it over HTTP/2 and journals the invocation.
import { createServer } from "node:http2";
import { createEndpointHandler, service } from "@restatedev/restate-sdk";
import { greet } from "./greet.mjs";

// The SDK wants it; Node has it from version 22 on.
Promise.withResolvers ??= function () {
  const all = {};
  all.promise = new this((resolve, reject) => Object.assign(all, { resolve, reject }));
  return all;
};

const greeter = service({
  name: "greeter",
  handlers: { greet: async (_context, event) => greet(event) },
});
createServer(createEndpointHandler({ services: [greeter] })).listen(Number(process.env.PORT), "127.0.0.1");
