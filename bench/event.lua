-- wrk: one small JSON event per request; prints what bench.py reads.
wrk.method = "POST"
wrk.body = '{"id":"u1","email":"a@example.com"}'
wrk.headers["Content-Type"] = "application/json"

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %d %d\n", summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    latency:percentile(99.9), errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
