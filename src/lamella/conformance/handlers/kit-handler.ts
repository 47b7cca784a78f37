// The conformance kit's handler: does what events ask for, and gives back any other event as it is.
// See docs/reference/verification.md.
const actions = ["actions", "echo", "error", "print", "size", "sleep", "environment"];

// deno-lint-ignore no-explicit-any
export async function handler(event: any): Promise<unknown> {
  switch (event?.verify) {
    case undefined: return event;
    case "actions": return actions;
    case "echo": return event.value;
    case "error": throw new Error(event.message);
    case "print": console.log(event.text); return null;
    case "size": return "x".repeat(event.bytes);
    case "sleep": await new Promise((done) => setTimeout(done, event.seconds * 1000)); return null;
    case "environment": return globalThis.process?.env[event.name] ?? null;
    default: return null;
  }
}
