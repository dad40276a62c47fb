// nexus.js: what a function sees beside the language. It defines handle(data), which gets the event's data as text; what it returns, or what its
// promise gives, is the answer: a string as it is, anything else as JSON.
"use strict";

function input() { return __nexus(0); }
function answer(text) { __nexus(1, String(text)); }
function log(...values) { __nexus(2, values.map((v) => (typeof v === "string" ? v : JSON.stringify(v) ?? String(v))).join(" ") + "\n"); }
globalThis.console = { log, info: log, warn: log, error: log, debug: log };

// ---- host calls: each needs a grant in nexus.yaml. One that fails throws a NexusError.

class NexusError extends Error {
  static kinds = ["Ok", "Denied", "NotFound", "Conflict", "Invalid", "Limit", "Timeout", "Unavailable"];
  constructor(status, message) {
    super(message);
    this.name = "NexusError";
    this.kind = NexusError.kinds[status] ?? "Fault";
  }
  toString() { return `${this.kind}: ${this.message}`; }
}

function __call(what, ...args) {
  const status = __nexus(what, ...args), given = __nexus(4);
  if (status !== 0) throw new NexusError(status, given);
  return given;
}

const __line = (text) => String(text).replaceAll("\n", "\r");

// A key-value store; key_value_stores: [NAME] grants it. Revisions are for compare-and-set.
class Store {
  static any = -1;
  static absent = 0;
  constructor(name = "default") { this.name = name; }
  // {revision, value}, or undefined where there is no such key.
  get(key) {
    try {
      const given = __call(10, this.name, key), end = given.indexOf("\n");
      return { revision: Number(given.slice(0, end)), value: given.slice(end + 1) };
    } catch (e) {
      if (e.kind === "NotFound") return undefined;
      throw e;
    }
  }
  put(key, value, expected = Store.any) { return Number.parseInt(__call(11, this.name, key, String(value), expected), 10); }
  delete(key, expected = Store.any) { __call(12, this.name, key, expected); }
  // Reads, changes and writes until nobody was faster; change() gets the value that is there, or undefined. Gives what was written.
  update(key, change) {
    for (let i = 0; ; i++) {
      const entry = this.get(key), next = String(change(entry?.value));
      try {
        this.put(key, next, entry?.revision ?? Store.absent);
        return next;
      } catch (e) {
        if (e.kind !== "Conflict" || i >= 32) throw e;
      }
    }
  }
}

// Published when the run has ended well; emit: [TYPE] grants it. attributes: {subject, partitionkey, "content-type"}.
function emit(type, data = "", attributes = {}) {
  const lines = [__line(type), ...Object.entries(attributes).map(([name, value]) => `${name}: ${__line(value)}`)];
  __call(13, lines.join("\n") + "\n\n" + (typeof data === "string" ? data : JSON.stringify(data)));
}

// secrets: [NAME] grants it.
function secret(name) { return __call(14, name); }

// {status, headers, body}; allowed_outbound_hosts: [HOST] grants it.
function request(method, url, { headers = {}, body = "" } = {}) {
  const lines = [`${__line(method)} ${__line(url)}`, ...Object.entries(headers).map(([name, value]) => `${__line(name)}: ${__line(value)}`)];
  const given = __call(15, lines.join("\n") + "\n\n" + body), end = given.indexOf("\n\n");
  const [status, ...fields] = given.slice(0, end).split("\n");
  return {
    status: Number(status),
    headers: Object.fromEntries(fields.reverse().map((f) => [f.slice(0, f.indexOf(":")), f.slice(f.indexOf(":") + 1).trim()])),
    body: given.slice(end + 2),
  };
}

// ---- the run

function __fail(e) {
  __nexus(2, `Uncaught ${e}\n${e?.stack ?? ""}`);
  __nexus(3);
}

function __finish(given) {
  if (given !== undefined) answer(typeof given === "string" ? given : JSON.stringify(given));
}

function __run() {
  const given = handle(input());
  if (given instanceof Promise) given.then(__finish).catch(__fail);
  else __finish(given);
}
