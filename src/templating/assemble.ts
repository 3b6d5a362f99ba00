/*
 * Builds the system text for the provider: the prompt of the pack first, then the instructions of
 * the request. Pure.
 */

/**
 * Appends a request's `instructions` to the rendered prompt. The instructions are not rendered and
 * never replace the prompt. Without a prompt (`middleware.template` off: empty `system`) the result
 * is the instructions; without either it is empty.
 */
export function assembleSystem(system: string, instructions?: string): string {
  const added = instructions?.trim() ?? '';
  if (added === '') return system;
  return system === '' ? added : `${system}\n\n${added}`;
}
