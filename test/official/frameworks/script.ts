/*
 * The provider of the matrix: what it answers follows from the last message, as a model's answer
 * would.
 */

import {
  deltaChunk,
  DONE,
  type FakeAnswer,
  type FakeRequest,
  finishChunk,
  textAnswer,
  textChunk,
  usageChunk,
} from '../../support/fake-openai-server.js';
import { WEATHER } from './framework.js';

/**
 * `weather in CITY` calls the tool, an output of the tool becomes the answer, `hang` stops after
 * half of its text, `fail` is an HTTP 500. Every other question is repeated.
 */
export function answerByQuestion({ body }: FakeRequest, index: number): FakeAnswer {
  const last = body.messages.at(-1);
  const content = String(last?.['content']);
  if (last?.['role'] === 'tool') return textAnswer(['It is ', content]);
  const city = /^weather in (?<city>\w+)$/u.exec(content)?.groups?.['city'];
  if (city !== undefined) return callAnswer(`call_${index}`, WEATHER.name, { city });
  if (content === 'hang') return { steps: [textChunk('Ha'), textChunk('lf'), { hang: true }] };
  if (content === 'fail') return { status: 500 };
  return textAnswer(['You said ', content]);
}

/** A whole answer that calls one function. */
export function callAnswer(id: string, name: string, args: object): FakeAnswer {
  const call = { index: 0, id, type: 'function', function: { name, arguments: JSON.stringify(args) } };
  return { steps: [deltaChunk({ tool_calls: [call] }), finishChunk('tool_calls'), usageChunk(), DONE] };
}
