-- wrk: event.lua, by a caller that waits for the function's output.
dofile((debug.getinfo(1, "S").source:match("@(.*/)") or "./") .. "event.lua")
wrk.headers["Prefer"] = "wait=10"
