import { greet, path } from "/opt/greetings.ts"; // from the layer

export function handler(event: { name: string; language?: string }) {
  return { greeting: greet(event.name, event.language ?? "en"), layer: path };
}
