/*
 * The summary of a reasoning item while it is folded: opens its parts, writes them in wire shape,
 * and closes them.
 */

import { type ResponseEvent } from './event.js';
import { type SummaryTextPart } from './item.js';

export interface OpenSummary {
  text: string;
  open: boolean;
}

export function openSummary({ text }: SummaryTextPart): OpenSummary {
  return { text, open: true };
}

export function summaryPart({ text }: OpenSummary): SummaryTextPart {
  return { type: 'summary_text', text };
}

/** Returns the events that close the open parts of one item's summary. */
export function closeSummary(
  summary: readonly OpenSummary[],
  item: { readonly item_id: string; readonly output_index: number },
): ResponseEvent[] {
  return summary.flatMap((part, summary_index): ResponseEvent[] => {
    if (!part.open) return [];
    const at = { ...item, summary_index };
    return [
      { type: 'response.reasoning_summary_text.done', ...at, text: part.text },
      { type: 'response.reasoning_summary_part.done', ...at, part: summaryPart(part) },
    ];
  });
}
