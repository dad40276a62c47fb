//! nexus.zig: what a function may do to the world outside, by the host calls of module `nexus` (ABI 1).
//!
//! Each call needs a grant in `nexus.yaml`; without it, it fails with `error.Denied` and `reason()` says which key is missing. Answers are recorded:
//! a replay gets the very same ones, and touches nothing.
//!
//! One file: `nexus sdk zig > src/nexus.zig`, `const nexus = @import("nexus.zig");`. What calls give lies in memory that the run keeps to its end.
//! In the root file, `pub const panic = std.debug.FullPanic(nexus.panic);` keeps the standard library's own panics, and their size, out of the module.
const std = @import("std");
const wasi = std.os.wasi;

/// Of the run: nothing has to be freed, since the whole instance ends with it.
pub const allocator = std.heap.wasm_allocator;

// ---- the event and the answer

/// The event's data, as it stands on stdin.
pub fn input() Error![]u8 {
    var data: []u8 = try allocator.alloc(u8, 4096);
    var n: usize = 0;
    while (true) {
        if (n == data.len) data = try allocator.realloc(data, 2 * n);
        var more: usize = 0;
        const piece = [1]wasi.iovec_t{.{ .base = data.ptr + n, .len = data.len - n }};
        if (wasi.fd_read(0, &piece, 1, &more) != .SUCCESS) return error.Fault;
        if (more == 0) return data[0..n];
        n += more;
    }
}

/// Writes to stdout, which is the answer.
pub fn answer(data: []const u8) void {
    write(1, data);
}

/// A line of the function's log.
pub fn log(line: []const u8) void {
    write(2, line);
    write(2, "\n");
}

fn write(fd: wasi.fd_t, data: []const u8) void {
    var rest = data;
    while (rest.len > 0) {
        var n: usize = 0;
        const piece = [1]wasi.ciovec_t{.{ .base = rest.ptr, .len = rest.len }};
        if (wasi.fd_write(fd, &piece, 1, &n) != .SUCCESS or n == 0) return;
        rest = rest[n..];
    }
}

/// For the root file: the words go to the log, and the run's record has a backtrace.
pub fn panic(message: []const u8, _: ?usize) noreturn {
    write(2, "panic: ");
    log(message);
    @trap();
}

// ---- errors

/// Why a host call failed.
pub const Error = error{
    /// It is not granted in nexus.yaml, or the replay denies it.
    Denied,
    /// No such key, no such secret.
    NotFound,
    /// Compare-and-set: another revision is there.
    Conflict,
    /// The request is malformed.
    Invalid,
    /// Request or answer is too large.
    Limit,
    /// The other side took too long.
    Timeout,
    /// The other side can't be reached.
    Unavailable,
    /// Something else: a newer node, or a mistake of this library.
    Fault,
    OutOfMemory,
};

var reason_buffer: [256]u8 = undefined;
var reason_len: usize = 0;

/// Why the last host call failed, in words; cut at 256 bytes. Valid until the next call.
pub fn reason() []const u8 {
    return reason_buffer[0..reason_len];
}

fn check(status: i32) Error!void {
    reason_len = 0;
    if (status == 0) return;
    const n = @min(sys.answer_size(), reason_buffer.len);
    if (sys.answer_read(&reason_buffer, 0, n) == 0) reason_len = n;
    return switch (status) {
        1 => error.Denied,
        2 => error.NotFound,
        3 => error.Conflict,
        4 => error.Invalid,
        5 => error.Limit,
        6 => error.Timeout,
        7 => error.Unavailable,
        else => error.Fault,
    };
}

/// What the last call left to read.
fn takeAnswer() Error![]u8 {
    const given = try allocator.alloc(u8, sys.answer_size());
    if (sys.answer_read(given.ptr, 0, given.len) != 0) return error.Fault;
    return given;
}

// ---- key-value stores

/// What has to be there for a write to happen: one of these, or a revision.
pub const any: i64 = -1;
pub const absent: i64 = 0;

/// A value, and its revision for compare-and-set.
pub const Entry = struct { revision: u64, value: []const u8 };

/// A key-value store of the namespace; `key_value_stores: [NAME]` grants it.
pub const Store = struct {
    name: []const u8 = "default",

    /// null: there is no such key.
    pub fn get(self: Store, key: []const u8) Error!?Entry {
        check(sys.kv_get(self.name.ptr, self.name.len, key.ptr, key.len)) catch |e| return if (e == error.NotFound) null else e;
        return try splitRevision(try takeAnswer());
    }

    /// Gives the new revision. `error.Conflict`: something else is there than was expected.
    pub fn put(self: Store, key: []const u8, value: []const u8, expected: i64) Error!u64 {
        try check(sys.kv_put(self.name.ptr, self.name.len, key.ptr, key.len, value.ptr, value.len, expected));
        return (try splitRevision(try takeAnswer())).revision;
    }

    /// What is not there is deleted with success. `expected`: `any`, or a revision.
    pub fn delete(self: Store, key: []const u8, expected: i64) Error!void {
        try check(sys.kv_delete(self.name.ptr, self.name.len, key.ptr, key.len, expected));
    }
};

/// "REVISION\n" and the value.
fn splitRevision(given: []const u8) Error!Entry {
    const end = std.mem.indexOfScalar(u8, given, '\n') orelse return error.Fault;
    const revision = std.fmt.parseInt(u64, given[0..end], 10) catch return error.Fault;
    return .{ .revision = revision, .value = given[end + 1 ..] };
}

// ---- events

pub const Attributes = struct {
    subject: []const u8 = "",
    /// Events of one key are handled in order, where a function asks for that. Without one, the handled event's is taken over.
    partition_key: []const u8 = "",
    /// Without one, the data is looked at: JSON, text, or bytes.
    content_type: []const u8 = "",
};

/// Emits an event; `emit: [TYPE]` grants it. It is published when the run has ended well, with all others of the run.
pub fn emit(event_type: []const u8, data: []const u8, attributes: Attributes) Error!void {
    var m = Message{};
    try m.line(&.{event_type});
    if (attributes.subject.len > 0) try m.line(&.{ "subject: ", attributes.subject });
    if (attributes.partition_key.len > 0) try m.line(&.{ "partitionkey: ", attributes.partition_key });
    if (attributes.content_type.len > 0) try m.line(&.{ "content-type: ", attributes.content_type });
    try m.line(&.{});
    try m.put(data);
    try check(sys.emit(m.bytes.ptr, m.bytes.len));
}

// ---- HTTP

pub const Header = struct { name: []const u8, value: []const u8 };

/// An HTTP answer of any status.
pub const Response = struct {
    status: u16,
    /// "name: value\n" each, names in lower case.
    headers: []const u8,
    body: []const u8,

    /// The first header of that name (in lower case).
    pub fn header(self: Response, name: []const u8) ?[]const u8 {
        var lines = std.mem.splitScalar(u8, self.headers, '\n');
        while (lines.next()) |one| {
            const colon = std.mem.indexOfScalar(u8, one, ':') orelse continue;
            if (std.mem.eql(u8, one[0..colon], name)) return std.mem.trim(u8, one[colon + 1 ..], " ");
        }
        return null;
    }
};

/// Sends an HTTP request; `allowed_outbound_hosts: ["https://api.example.com"]` grants its host. Redirects are followed as far as they are granted.
pub fn request(method: []const u8, url: []const u8, headers: []const Header, body: []const u8) Error!Response {
    var m = Message{};
    try m.line(&.{ method, " ", url });
    for (headers) |h| try m.line(&.{ h.name, ": ", h.value });
    try m.line(&.{});
    try m.put(body);
    try check(sys.http_request(m.bytes.ptr, m.bytes.len));
    const given = try takeAnswer();
    const first = std.mem.indexOfScalar(u8, given, '\n') orelse return error.Fault;
    const status = std.fmt.parseInt(u16, given[0..first], 10) catch return error.Fault;
    const end = std.mem.indexOfPos(u8, given, first, "\n\n") orelse return error.Fault;
    return .{ .status = status, .headers = given[first + 1 .. @max(end, first + 1)], .body = given[end + 2 ..] };
}

// ---- secrets

/// The value of a secret; `secrets: [NAME]` grants it. It is never recorded.
pub fn secret(name: []const u8) Error![]const u8 {
    try check(sys.secret_get(name.ptr, name.len));
    return takeAnswer();
}

// ---- the boundary

const Message = struct {
    bytes: []u8 = &.{},

    fn put(self: *Message, data: []const u8) Error!void {
        const before = self.bytes.len;
        self.bytes = try allocator.realloc(self.bytes, before + data.len);
        @memcpy(self.bytes[before..], data);
    }

    /// A line break would begin another line; the host refuses the character that stands for it.
    fn line(self: *Message, parts: []const []const u8) Error!void {
        const before = self.bytes.len;
        for (parts) |part| try self.put(part);
        for (self.bytes[before..]) |*c| {
            if (c.* == '\n') c.* = '\r';
        }
        try self.put("\n");
    }
};

const sys = struct {
    extern "nexus" fn http_request(message: [*]const u8, message_len: usize) i32;
    extern "nexus" fn kv_get(store: [*]const u8, store_len: usize, key: [*]const u8, key_len: usize) i32;
    extern "nexus" fn kv_put(store: [*]const u8, store_len: usize, key: [*]const u8, key_len: usize, value: [*]const u8, value_len: usize, expected: i64) i32;
    extern "nexus" fn kv_delete(store: [*]const u8, store_len: usize, key: [*]const u8, key_len: usize, expected: i64) i32;
    extern "nexus" fn emit(message: [*]const u8, message_len: usize) i32;
    extern "nexus" fn secret_get(name: [*]const u8, name_len: usize) i32;
    extern "nexus" fn answer_size() usize;
    extern "nexus" fn answer_read(to: [*]u8, offset: usize, len: usize) i32;
};
