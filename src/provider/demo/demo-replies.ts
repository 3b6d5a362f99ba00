/*
 * The fixed replies of the demo provider, chosen by words of the last user message. They never
 * pretend to come from a model and never repeat the input: they report the shape of the request
 * only.
 */

import { type FunctionCallOutputItem, messageText, outputText } from '../../domain/item.js';
import { type ProviderRequest } from '../provider.js';
import { type DemoScript, scriptOfText, scriptFromText } from './demo-script.js';

/**
 * Returns the script for a request. `demo:` lines take precedence, then tools and formats that the
 * request forces, then words.
 */
export function replyTo(request: ProviderRequest): DemoScript {
  const outputs = trailingOutputs(request);
  if (outputs.length > 0) return scriptOfText(acknowledge(outputs));
  const text = lastUserText(request);
  return scriptFromText(text) ?? forcedReply(request) ?? scriptOfText(replyToWords(text, request));
}

function forcedReply(request: ProviderRequest): DemoScript | undefined {
  const choice = request.toolChoice;
  const wanted = typeof choice === 'object' ? choice.name : choice === 'required' ? request.tools[0]?.name : undefined;
  const tool = request.tools.find((candidate) => candidate.name === wanted);
  if (tool !== undefined) {
    return { steps: [{ type: 'call', name: tool.name, arguments: JSON.stringify(sampleOf(tool.parameters)) }] };
  }
  if (request.textFormat.type === 'json_schema')
    return scriptOfText(JSON.stringify(sampleOf(request.textFormat.schema)));
  if (request.textFormat.type === 'json_object') return scriptOfText('{"provider": "demo", "model": null}');
  return undefined;
}

function replyToWords(text: string, request: ProviderRequest): string {
  const lower = text.toLowerCase();
  const counted = /\bcount (?:up )?to (\d{1,4})\b/u.exec(lower);
  if (counted !== null) return numbers(Math.min(Math.max(Number(counted[1]), 1), 1000));
  if (/\b(?:long (?:answer|text|story)|tell me more|essay)\b/u.test(lower)) return LONG;
  if (/\b(?:refund|money back|return)\b/u.test(lower)) return REFUND;
  if (/\b(?:markdown|table|code|list)\b/u.test(lower)) return MARKDOWN;
  if (/\b(?:thanks|thank you)\b/u.test(lower)) return 'You are welcome. (Still the demo provider: a fixed reply.)';
  if (/^\s*(?:hello|hi|hey|good (?:morning|day|evening))\b/u.test(lower)) return HELLO;
  return plainAnswer(text, request);
}

const SELF_DESCRIPTION = "I am Sluice's built-in **demo provider**, not a language model";

const HELLO = `Hello! ${SELF_DESCRIPTION}: my replies are fixed, and they stream at about the pace of a real one.

Try these:

- \`How do I get a refund?\`
- \`Give me a long answer\`, then press stop, or reload the page while it streams
- \`Count to 50\`
- \`Show me some Markdown\`
- \`demo: help\` for all that can be scripted
`;

const REFUND = `Here is what a support assistant might say (this is a **fixed demo reply**, not a policy):

1. Have your order number ready; it is in the confirmation e-mail.
2. Tell us what went wrong, in a sentence or two.
3. We look at it within two working days.
4. An approved refund reaches your account about five working days later.

With a real model in place, this answer would come from your own prompt pack.
`;

const MARKDOWN = `A little of everything, from the demo provider:

## A table

| step | what happens |
|---|---|
| append | the event goes to the log |
| follow | viewers read it from there |

## Some code

\`\`\`ts
for await (const event of stream) console.log(event.type);
\`\`\`

And a [link](https://platform.openai.com/docs/api-reference/responses), *emphasis*, and \`code\`.
`;

const LONG = [
  `${SELF_DESCRIPTION}, so this long answer is a fixed one. It is here to give you time: press stop, reload the page, open a second tab, or cut the network while it runs.`,
  'Every delta that you see was first written to the log of this response and only then sent. Your browser reads from that log with a cursor of its own, the number of the last event that it has seen. When the connection closes, the turn does not notice: it keeps writing.',
  'When you come back, the browser says which number it saw last, and the gateway sends the rest: first what is already in the log, then what is still being written, each event once and in order. That works for any number of viewers, because a viewer is a cursor and not a queue.',
  'Between the provider and the log is a guard. It holds back only the few characters that could still become something forbidden, and lets the rest through at once. What has been shown never has to be taken back.',
  'At the end there is exactly one closing event, whatever happened: an answer, a stop, a limit, a failure. By then the conversation already holds what was said, so your next question finds it.',
  'That is all there is to tell. Ask me to count to 50 if you would like to watch some more.',
].join('\n\n');

function numbers(last: number): string {
  return Array.from({ length: last }, (_, i) => i + 1).join(', ');
}

function plainAnswer(text: string, request: ProviderRequest): string {
  const facts = [
    `${quantity(request.items.length, 'item')} of conversation, the last message ${quantity([...text].length, 'character')} long`,
    request.system === ''
      ? 'no system prompt'
      : `a system prompt of ${quantity([...request.system].length, 'character')}`,
    ...(request.tools.length > 0 ? [quantity(request.tools.length, 'tool')] : []),
  ];
  return `${SELF_DESCRIPTION}: I can not understand what you wrote. What arrived here has the right shape, though: ${facts.join(', ')}.

To put a real model in, set \`OPENAI_API_KEY\` (and \`OPENAI_BASE_URL\` for any other OpenAI-compatible server) and start Sluice again, or set \`provider.type: openai\` in the configuration file.

Until then, try \`hello\`, \`count to 50\`, \`a long answer\`, or \`demo: help\`.
`;
}

function acknowledge(outputs: readonly FunctionCallOutputItem[]): string {
  const sizes = outputs.map((output) => quantity([...outputText(output)].length, 'character')).join(' and ');
  return `Thank you: ${quantity(outputs.length, 'function output')} arrived (${sizes}). A real model would now use it for its answer; the demo provider only says that it is here.`;
}

function trailingOutputs(request: ProviderRequest): FunctionCallOutputItem[] {
  const outputs: FunctionCallOutputItem[] = [];
  for (let i = request.items.length - 1; i >= 0; i--) {
    const item = request.items[i];
    if (item?.type !== 'function_call_output') break;
    outputs.unshift(item);
  }
  return outputs;
}

function lastUserText(request: ProviderRequest): string {
  const last = request.items.findLast((item) => item.type === 'message' && item.role === 'user');
  return last?.type === 'message' ? messageText(last) : '';
}

function quantity(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}

/**
 * Returns a sample for `schema`: the first value of an `enum`, a `const`, a `default`, else a plain
 * value of its type. An object gets all declared properties. Other keywords (patterns, bounds,
 * references) are ignored.
 * @param depth levels above this schema
 */
function sampleOf(schema: unknown, depth = 0): unknown {
  if (!isRecord(schema) || depth > 8) return {};
  if ('const' in schema) return schema['const'];
  if (Array.isArray(schema['enum'])) return schema['enum'][0] as unknown;
  if ('default' in schema) return schema['default'];
  const type: unknown = Array.isArray(schema['type']) ? schema['type'][0] : schema['type'];
  switch (type) {
    case 'string':
      return 'demo';
    case 'number':
    case 'integer':
      return 1;
    case 'boolean':
      return true;
    case 'null':
      return null;
    case 'array':
      return [sampleOf(schema['items'], depth + 1)];
    default: {
      const properties = isRecord(schema['properties']) ? schema['properties'] : {};
      return Object.fromEntries(Object.entries(properties).map(([key, inner]) => [key, sampleOf(inner, depth + 1)]));
    }
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
