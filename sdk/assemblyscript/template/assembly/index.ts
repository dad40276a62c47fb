import { answer, inputText, log } from "./nexus";

/** Called for every event: its data on stdin, the answer on stdout, log lines on stderr. */
export function handle_event(): void {
  const data = inputText();

  log("Processing user event");

  answer("Processed: " + data);
}
