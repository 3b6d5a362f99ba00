/*
 * What the provider gets as its system text: the pack's prompt first, a request's instructions
 * after it. Pure.
 */

/**
 * Adds a request's `instructions` after the rendered prompt, never in its place, as text that is
 * not rendered. Without a prompt (`middleware.template` off: empty `system`) the instructions stand
 * alone; without either the result is empty.
 */
export function assembleSystem(system: string, instructions?: string): string {
  const added = instructions?.trim() ?? '';
  if (added === '') return system;
  return system === '' ? added : `${system}\n\n${added}`;
}
