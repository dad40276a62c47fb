/**
 * nexus.ts: what a function may do to the world outside, by the host calls of module `nexus` (ABI 1).
 *
 * Each call needs a grant in `nexus.yaml`; without it, it fails with `Kind.Denied` and says which key is missing. Answers are recorded: a replay
 * gets the very same ones, and touches nothing.
 *
 * One file: `nexus sdk assemblyscript > assembly/nexus.ts`, `import { … } from "./nexus"`. It needs the compiler `assemblyscript` and its
 * `@assemblyscript/wasi-shim`; with `"use": ["abort=assembly/nexus/abort"]` in asconfig.json an uncaught error has a backtrace.
 *
 * AssemblyScript cannot catch what is thrown, so calls give a `Result`: ask `isOk` or `kind` first, or take `value`, which ends the run where
 * the call has failed.
 */

// ---- the event and the answer

/** The event's data, as it stands on stdin. */
export function input(): ArrayBuffer {
  let data = new ArrayBuffer(4096), n = 0;
  while (true) {
    if (n == data.byteLength) {
      const grown = new ArrayBuffer(2 * n);
      memory.copy(changetype<usize>(grown), changetype<usize>(data), n);
      data = grown;
    }
    const more = process.stdin.read(data, n);
    if (more <= 0) return data.slice(0, n);
    n += more;
  }
}

/** The same as text; what is no UTF-8 is replaced. */
export function inputText(): string {
  return text(input());
}

/** Writes to stdout, which is the answer. */
export function answer<T>(data: T): void {
  process.stdout.write(bytes<T>(data));
}

/** A line of the function's log. */
export function log(line: string): void {
  process.stderr.write(line + "\n");
}

export function text(data: ArrayBuffer): string {
  return String.UTF8.decode(data);
}

/** A string as UTF-8; an ArrayBuffer or a Uint8Array as it is. */
export function bytes<T>(data: T): ArrayBuffer {
  if (isString<T>()) return String.UTF8.encode(changetype<string>(data));
  if (data instanceof ArrayBuffer) return data;
  if (data instanceof Uint8Array) return data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength);
  ERROR("a string, an ArrayBuffer or a Uint8Array is expected");
}

// ---- errors

/** Why a host call failed. The numbers are the ABI's. */
export enum Kind {
  Ok = 0,
  /** It is not granted in nexus.yaml, or the replay denies it. */
  Denied = 1,
  /** No such key, no such secret. */
  NotFound = 2,
  /** Compare-and-set: another revision is there. */
  Conflict = 3,
  /** The request is malformed. */
  Invalid = 4,
  /** Request or answer is too large. */
  Limit = 5,
  /** The other side took too long. */
  Timeout = 6,
  /** The other side can't be reached. */
  Unavailable = 7,
  /** Something else: a newer node, or a mistake of this library. */
  Fault = 8,
}

/** What a host call gave: a value, or why it failed. */
export class Result<T> {
  constructor(private given: T, readonly kind: Kind = Kind.Ok, readonly message: string = "") {}

  static failed<T>(kind: Kind, message: string): Result<T> {
    return isReference<T>() ? new Result<T>(changetype<T>(0), kind, message) : new Result<T>(<T>0, kind, message);
  }

  get isOk(): bool {
    return this.kind == Kind.Ok;
  }

  /** Ends the run (`error: trap`) where the call has failed. */
  get value(): T {
    if (!this.isOk) throw new Error(this.toString());
    return this.given;
  }

  toString(): string {
    return this.isOk ? "Ok" : `${kindName(this.kind)}: ${this.message}`;
  }
}

export function kindName(kind: Kind): string {
  switch (kind) {
    case Kind.Ok: return "Ok";
    case Kind.Denied: return "Denied";
    case Kind.NotFound: return "NotFound";
    case Kind.Conflict: return "Conflict";
    case Kind.Invalid: return "Invalid";
    case Kind.Limit: return "Limit";
    case Kind.Timeout: return "Timeout";
    case Kind.Unavailable: return "Unavailable";
    default: return "Fault";
  }
}

// ---- key-value stores

/** What has to be there for a write to happen: one of these, or a revision. */
export namespace Expect {
  /** Whatever is there. */
  export const Any: i64 = -1;
  /** Nothing is. */
  export const Absent: i64 = 0;
}

/** A value, and its revision for compare-and-set. */
export class Entry {
  constructor(readonly revision: u64, readonly value: ArrayBuffer) {}

  get text(): string {
    return text(this.value);
  }
}

/** A key-value store of the namespace; `key_value_stores: [NAME]` grants it. */
export class Store {
  /** Asks nobody: a store that is not granted fails at its first use. */
  constructor(readonly name: string = "default") {}

  /** `Kind.NotFound`: there is no such key. */
  get(key: string): Result<Entry> {
    const s = String.UTF8.encode(this.name), k = String.UTF8.encode(key);
    const status = sys_kv_get(changetype<usize>(s), s.byteLength, changetype<usize>(k), k.byteLength);
    const given = takeAnswer();
    return status ? failure<Entry>(status, given) : splitRevision(given);
  }

  /** Gives the new revision. `Kind.Conflict`: something else is there than was expected. */
  put<T>(key: string, value: T, expected: i64 = Expect.Any): Result<u64> {
    const s = String.UTF8.encode(this.name), k = String.UTF8.encode(key), v = bytes<T>(value);
    const status = sys_kv_put(changetype<usize>(s), s.byteLength, changetype<usize>(k), k.byteLength, changetype<usize>(v), v.byteLength, expected);
    const given = takeAnswer();
    if (status) return failure<u64>(status, given);
    const entry = splitRevision(given);
    return entry.isOk ? new Result<u64>(entry.value.revision) : Result.failed<u64>(entry.kind, entry.message);
  }

  /** What is not there is deleted with success. `expected`: `Expect.Any`, or a revision. */
  delete(key: string, expected: i64 = Expect.Any): Result<bool> {
    const s = String.UTF8.encode(this.name), k = String.UTF8.encode(key);
    const status = sys_kv_delete(changetype<usize>(s), s.byteLength, changetype<usize>(k), k.byteLength, expected);
    return status ? failure<bool>(status, takeAnswer()) : new Result<bool>(true);
  }

  /** Reads, changes and writes until nobody was faster; `change` gets the value that is there, or null, and may be called several times.
   * Gives what was written. */
  update(key: string, change: (now: string | null) => string): Result<string> {
    let last = Result.failed<string>(Kind.Conflict, "others keep changing it");
    for (let i = 0; i < 32; i++) {
      const entry = this.get(key);
      if (!entry.isOk && entry.kind != Kind.NotFound) return Result.failed<string>(entry.kind, entry.message);
      const next = change(entry.isOk ? entry.value.text : null);
      const put = this.put(key, next, entry.isOk ? <i64>entry.value.revision : Expect.Absent);
      if (put.isOk) return new Result<string>(next);
      last = Result.failed<string>(put.kind, put.message);
      if (put.kind != Kind.Conflict) return last;
    }
    return last;
  }
}

/** "REVISION\n" and the value. */
function splitRevision(answer: ArrayBuffer): Result<Entry> {
  const end = lineEnd(answer, 0);
  let revision: u64 = 0;
  for (let i = 0; i < end; i++) {
    const digit = load<u8>(changetype<usize>(answer) + i) - 0x30;
    if (digit > 9) return Result.failed<Entry>(Kind.Fault, "the answer holds no revision");
    revision = revision * 10 + digit;
  }
  if (end <= 0) return Result.failed<Entry>(Kind.Fault, "the answer holds no revision");
  return new Result<Entry>(new Entry(revision, answer.slice(end + 1)));
}

// ---- events

/** An event to emit; `emit: [TYPE]` grants it. It is published when the run has ended well, with all others of the run. */
export class Event {
  private head: string;
  private content: ArrayBuffer = new ArrayBuffer(0);

  constructor(type: string) {
    this.head = oneLine(type) + "\n";
  }

  subject(subject: string): Event {
    return this.attribute("subject", subject);
  }

  /** Events of one key are handled in order, where a function asks for that. Without one, the handled event's is taken over. */
  partitionKey(key: string): Event {
    return this.attribute("partitionkey", key);
  }

  /** Without one, the data is looked at: JSON, text, or bytes. */
  contentType(contentType: string): Event {
    return this.attribute("content-type", contentType);
  }

  data<T>(data: T): Event {
    this.content = bytes<T>(data);
    return this;
  }

  emit(): Result<bool> {
    const message = join(this.head, this.content);
    const status = sys_emit(changetype<usize>(message), message.byteLength);
    return status ? failure<bool>(status, takeAnswer()) : new Result<bool>(true);
  }

  private attribute(name: string, value: string): Event {
    this.head += name + ": " + oneLine(value) + "\n";
    return this;
  }
}

/** Emits an event of this type with this data. */
export function emit<T>(type: string, data: T): Result<bool> {
  return new Event(type).data<T>(data).emit();
}

// ---- HTTP

/** An HTTP answer of any status. */
export class Response {
  /** Names are in lower case; of a name that comes twice, the first value. */
  readonly headers: Map<string, string> = new Map<string, string>();

  constructor(readonly status: i32, readonly body: ArrayBuffer) {}

  get text(): string {
    return text(this.body);
  }
}

/** An HTTP request; `allowed_outbound_hosts: ["https://api.example.com"]` grants its host. */
export class Request {
  private head: string;
  private content: ArrayBuffer = new ArrayBuffer(0);

  constructor(method: string, url: string) {
    this.head = oneLine(method) + " " + oneLine(url) + "\n";
  }

  static get(url: string): Request {
    return new Request("GET", url);
  }

  static post<T>(url: string, body: T): Request {
    return new Request("POST", url).body<T>(body);
  }

  header(name: string, value: string): Request {
    this.head += oneLine(name) + ": " + oneLine(value) + "\n";
    return this;
  }

  body<T>(body: T): Request {
    this.content = bytes<T>(body);
    return this;
  }

  /** Redirects are followed as far as they are granted. */
  send(): Result<Response> {
    const message = join(this.head, this.content);
    const status = sys_http_request(changetype<usize>(message), message.byteLength);
    const given = takeAnswer();
    return status ? failure<Response>(status, given) : parseResponse(given);
  }
}

/** STATUS, then headers, one a line, an empty line, the body. */
function parseResponse(answer: ArrayBuffer): Result<Response> {
  const head: string[] = [];
  let at = 0;
  while (true) {
    const end = lineEnd(answer, at);
    if (end < 0) return Result.failed<Response>(Kind.Fault, "the answer is not one of HTTP");
    const line = text(answer.slice(at, end));
    at = end + 1;
    if (line.length > 0) {
      head.push(line);
      continue;
    }
    if (head.length == 0) return Result.failed<Response>(Kind.Fault, "the answer is not one of HTTP");
    const response = new Response(<i32>parseInt(head[0], 10), answer.slice(at));
    for (let i = 1; i < head.length; i++) {
      const colon = head[i].indexOf(":"), name = head[i].substring(0, colon).toLowerCase();
      if (colon > 0 && !response.headers.has(name)) response.headers.set(name, head[i].substring(colon + 1).trim());
    }
    return new Result<Response>(response);
  }
}

// ---- secrets

/** The value of a secret; `secrets: [NAME]` grants it. It is never recorded. */
export function secret(name: string): Result<string> {
  const n = String.UTF8.encode(name);
  const status = sys_secret_get(changetype<usize>(n), n.byteLength);
  const given = takeAnswer();
  return status ? failure<string>(status, given) : new Result<string>(text(given));
}

// ---- what is thrown

let isAborting = false;

/** In place of the shim's `abort`, which exits: this one traps, so that the run's record has a backtrace beside the words. */
export function abort(message: string | null = null, fileName: string | null = null, line: u32 = 0, column: u32 = 0): void {
  if (!isAborting) { // out of memory: the words would need some
    isAborting = true;
    log(`abort: ${message ? message : "an error"} in ${fileName ? fileName : "?"}(${line}:${column})`);
  }
  unreachable();
}

// ---- the boundary: what the node is asked for

// @ts-ignore: decorator
@external("nexus", "http_request") declare function sys_http_request(message: usize, messageBytes: usize): i32;
// @ts-ignore: decorator
@external("nexus", "kv_get") declare function sys_kv_get(store: usize, storeBytes: usize, key: usize, keyBytes: usize): i32;
// @ts-ignore: decorator
@external("nexus", "kv_put") declare function sys_kv_put(store: usize, storeBytes: usize, key: usize, keyBytes: usize, value: usize, valueBytes: usize, expected: i64): i32;
// @ts-ignore: decorator
@external("nexus", "kv_delete") declare function sys_kv_delete(store: usize, storeBytes: usize, key: usize, keyBytes: usize, expected: i64): i32;
// @ts-ignore: decorator
@external("nexus", "emit") declare function sys_emit(message: usize, messageBytes: usize): i32;
// @ts-ignore: decorator
@external("nexus", "secret_get") declare function sys_secret_get(name: usize, nameBytes: usize): i32;
// @ts-ignore: decorator
@external("nexus", "answer_size") declare function sys_answer_size(): usize;
// @ts-ignore: decorator
@external("nexus", "answer_read") declare function sys_answer_read(to: usize, offset: usize, n: usize): i32;

/** What the last call left to read: its answer, or why it failed. */
function takeAnswer(): ArrayBuffer {
  const answer = new ArrayBuffer(<i32>sys_answer_size());
  return sys_answer_read(changetype<usize>(answer), 0, answer.byteLength) == 0 ? answer : new ArrayBuffer(0);
}

function failure<T>(status: i32, answer: ArrayBuffer): Result<T> {
  return Result.failed<T>(status > 0 && status < <i32>Kind.Fault ? <Kind>status : Kind.Fault, text(answer));
}

/** A line break would begin another attribute or header; the host refuses the character that stands for it. */
function oneLine(s: string): string {
  return s.replaceAll("\n", "\r");
}

function join(head: string, data: ArrayBuffer): ArrayBuffer {
  const begin = String.UTF8.encode(head + "\n"), message = new ArrayBuffer(begin.byteLength + data.byteLength);
  memory.copy(changetype<usize>(message), changetype<usize>(begin), begin.byteLength);
  memory.copy(changetype<usize>(message) + begin.byteLength, changetype<usize>(data), data.byteLength);
  return message;
}

/** Where the line that begins at `from` ends; -1: nowhere. */
function lineEnd(data: ArrayBuffer, from: i32): i32 {
  for (let i = from; i < data.byteLength; i++) {
    if (load<u8>(changetype<usize>(data) + i) == 0x0a) return i;
  }
  return -1;
}
