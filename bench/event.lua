-- wrk: one small JSON event per request; prints what bench.py reads. By the environment: FUNCTIONS=N, each to one of
-- the N paths /fn/0 ...; PAUSE_MS=T, each connection waits so long before each request (a mean: wrk counts in whole milliseconds).
local functions = tonumber(os.getenv("FUNCTIONS") or "")
local pause_ms = tonumber(os.getenv("PAUSE_MS") or "")

wrk.method = "POST"
wrk.body = '{"id":"u1","email":"a@example.com"}'
wrk.headers["Content-Type"] = "application/json"

if functions then
  request = function()
    return wrk.format(nil, "/fn/" .. math.random(0, functions - 1))
  end
end

if pause_ms then
  delay = function()
    return math.floor(pause_ms + math.random())
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %d %d\n", summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    latency:percentile(99.9), errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
