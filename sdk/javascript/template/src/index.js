// Called for every event, with its data. What it returns is the answer; console.log writes to the function's log.
function handle(data) {
  console.log("Processing user event");

  return "Processed: " + data;
}
