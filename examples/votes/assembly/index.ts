import { answer, emit, inputText, Kind, log, Store } from "./nexus";

/** A vote for the candidate whose name the event holds. At five votes the candidate has won. */
export function handle_event(): i32 {
  const name = inputText().trim();
  if (name.length == 0) throw new Error("a vote needs a name");

  // Two votes at the same time: the later one reads again what the earlier one wrote.
  const votes = new Store().update("votes/" + name, (now) => ((now ? I32.parseInt(now) : 0) + 1).toString());
  if (!votes.isOk) {
    log(votes.kind == Kind.Invalid ? "no such name: " + name : votes.toString());
    return 1;
  }
  log("vote " + votes.value + " for " + name);
  if (votes.value == "5") emit("vote.won", `{"name": "${name}"}`).value;
  answer(votes.value + "\n");
  return 0;
}
