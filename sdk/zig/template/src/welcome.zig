const std = @import("std");
const nexus = @import("nexus.zig");

pub const panic = std.debug.FullPanic(nexus.panic);

/// Called for every event: its data on stdin, the answer on stdout, log lines on stderr.
export fn handle_event() void {
    const data = nexus.input() catch |e| @panic(@errorName(e));

    nexus.log("Processing user event");

    nexus.answer("Processed: ");
    nexus.answer(data);
}
