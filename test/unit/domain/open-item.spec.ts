import { describe, expect, it } from '@jest/globals';
import { ResponseAccumulator } from '../../../src/domain/accumulator.js';
import { type ResponseEvent } from '../../../src/domain/event.js';
import { responseOf } from './responses.js';

const at = { item_id: 'rs_1', output_index: 0, summary_index: 0 };
const item = {
  type: 'reasoning',
  id: 'rs_1',
  summary: [],
  content: [],
  status: 'in_progress',
  sluice: { author: 'model' },
} as const;
const EVENTS: readonly ResponseEvent[] = [
  { type: 'response.output_item.added', output_index: 0, item },
  { type: 'response.reasoning_summary_part.added', ...at, part: { type: 'summary_text', text: '' } },
  { type: 'response.reasoning_summary_text.delta', ...at, delta: 'Add' },
  { type: 'response.reasoning_summary_text.delta', ...at, delta: 'ing.' },
];

describe('ResponseAccumulator with a summary of reasoning', () => {
  it('folds the deltas of a summary into its item, and closes the part before the item [REAS-1]', () => {
    const fold = new ResponseAccumulator(responseOf());
    for (const event of EVENTS) fold.apply(event);
    const part = { type: 'summary_text', text: 'Adding.' } as const;
    const whole = { ...item, summary: [part], status: 'completed' } as const;
    expect(fold.output()).toEqual([{ ...item, summary: [part] }]);
    const closing = fold.closing('completed');
    expect(closing).toEqual([
      { type: 'response.reasoning_summary_text.done', ...at, text: 'Adding.' },
      { type: 'response.reasoning_summary_part.done', ...at, part },
      { type: 'response.output_item.done', output_index: 0, item: whole },
    ]);
    for (const event of closing) fold.apply(event);
    expect(fold.output()).toEqual([whole]);
    expect(fold.closing('incomplete')).toEqual([]);
  });
});
