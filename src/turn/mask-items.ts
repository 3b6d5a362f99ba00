/* Masks personal data in the items that a provider receives. The stored items keep it. */

import { type ContentPart, type InputPart, type Item, itemText } from '../domain/item.js';
import { type Finding } from '../domain/response.js';
import { type MaskedInput } from '../validation/masked-input.js';

/**
 * Masks what the guardrails of the turn mask.
 * @param items the items to send
 * @param input the part of them that came with the request, for the findings
 */
export function maskItems(
  masked: MaskedInput,
  items: readonly Item[],
  input: readonly Item[],
): { readonly items: readonly Item[]; readonly findings: readonly Finding[] } {
  if (!masked.masks) return { items, findings: [] };
  const texts = items.map(itemText);
  const isTaken = (placeholder: string): boolean => texts.some((text) => text.includes(placeholder));
  const hide = (text: string): string => masked.mask(text, isTaken);
  const found = withoutRepeats(
    input
      .flatMap((item) => masked.findIn(maskedText(item)))
      .map(({ reason, from }): Finding => ({
        guardrail: 'pii',
        stage: 'input',
        decision: 'redact',
        reason,
        position: from,
      })),
  );
  return {
    items: items.map((item) => maskItem(item, hide)),
    findings: found,
  };
}

/** The text of an item in which personal data is replaced. */
function maskedText(item: Item): string {
  if (item.type === 'compaction') return '';
  return item.type === 'function_call' ? item.arguments : itemText(item);
}

/** Leaves the first finding of each rule: a rule that notes ten messages is recorded once. */
export function withoutRepeats(findings: readonly Finding[]): Finding[] {
  const first = new Map<string, Finding>();
  for (const finding of findings) {
    const rule = `${finding.guardrail} ${finding.reason}`;
    if (!first.has(rule)) first.set(rule, finding);
  }
  return [...first.values()];
}

function maskItem(item: Item, hide: (text: string) => string): Item {
  switch (item.type) {
    case 'message':
      return { ...item, content: item.content.map((part) => maskPart(part, hide)) };
    case 'function_call':
      return { ...item, arguments: hide(item.arguments) };
    case 'function_call_output':
      return {
        ...item,
        output: typeof item.output === 'string' ? hide(item.output) : item.output.map((part) => maskPart(part, hide)),
      };
    case 'compaction':
      return item;
    case 'reasoning':
      return { ...item, content: item.content.map((part) => ({ ...part, text: hide(part.text) })) };
  }
}

function maskPart<T extends ContentPart | InputPart>(part: T, hide: (text: string) => string): T {
  if (part.type === 'refusal') return { ...part, refusal: hide(part.refusal) };
  return 'text' in part && typeof part.text === 'string' ? { ...part, text: hide(part.text) } : part;
}
