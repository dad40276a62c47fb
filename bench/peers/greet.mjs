// The function of the comparison: the event parsed, a greeting answered. greet.rs is the same for Nexus.
export function greet(event) {
  return { greeting: `Hello, ${event.email}!`, id: event.id };
}
