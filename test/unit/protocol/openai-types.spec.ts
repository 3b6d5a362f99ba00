/*
 * What we send, measured by the types of the official client: a compile-time test. Where we
 * knowingly say more than the types do (a new enum value), the difference is named here, once.
 */

import { describe, expect, it } from '@jest/globals';
import {
  type Response,
  type ResponseCreateParams,
  type ResponseInputItem,
  type ResponseItem,
  type ResponsesServerEvent,
  type ResponseStreamEvent,
} from 'openai/resources/responses/responses';

import { type ResponseEvent } from '../../../src/domain/event.js';
import { type InputPart, type Item, type MessageItem, type OutputItem } from '../../../src/domain/item.js';
import { type ResponseObject } from '../../../src/domain/response.js';
import { REQUEST_FIELDS } from '../../../src/protocol/responses/requests.js';

/**
 * A type of ours as it occurs in a response: lists are readonly with us and not with the client,
 * and one `MessageItem` serves all roles, where a response holds assistant messages made of output
 * text and refusals.
 */
type Plain<T> = T extends InputPart
  ? never
  : T extends MessageItem
    ? Omit<T, 'role' | 'content'> & { role: 'assistant'; content: Plain<MessageItem['content']> }
    : T extends readonly (infer Each)[]
      ? Plain<Each>[]
      : T extends object
        ? { -readonly [Key in keyof T]: Plain<T[Key]> }
        : T;
type UserMessage = Omit<MessageItem, 'role' | 'content'> & { role: 'user'; content: InputPart[] };

/**
 * Sluice's own: reasons and codes beyond OpenAI's, the tier as the provider named it, null where
 * OpenAI leaves a field out, no access programs.
 */
type SaidDifferently =
  'access_programs' | 'error' | 'incomplete_details' | 'instructions' | 'prompt' | 'service_tier' | 'usage' | 'user';
type SameResponse = Omit<Response, SaidDifferently>;

type Assignable<From extends To, To> = [From, To];

type WithEvents<Event> = Event extends { response: unknown } ? Omit<Event, 'response'> : Event;
type OfType<Event, Type> = Event extends { type: Type } ? Event : never;
/**
 * The events of ours that are not the client's event of the same type; responses are compared by
 * themselves.
 */
type Misfits<Event extends ResponseEvent, Wire> = Event extends unknown
  ? Plain<WithEvents<Event & { readonly sequence_number: number }>> extends WithEvents<OfType<Wire, Event['type']>>
    ? never
    : Event['type']
  : never;

export type ResponsesAreOpenAis = Assignable<Plain<Omit<ResponseObject, SaidDifferently | 'sluice'>>, SameResponse>;
export type ItemsAreOpenAis = Assignable<Plain<Item> | UserMessage, ResponseItem>;
export type ItemsCanBeSentBack = Assignable<Plain<OutputItem>, ResponseInputItem>;
export type UsageIsOpenAis = Assignable<Plain<NonNullable<ResponseObject['usage']>>, NonNullable<Response['usage']>>;

export type NoStreamedEventMisfits = Assignable<Misfits<ResponseEvent, ResponseStreamEvent>, never>;
export type NoSocketEventMisfits = Assignable<Misfits<ResponseEvent, ResponsesServerEvent>, never>;

/** Every field that the client can send; the compiler finds one that a new version of it adds. */
const CLIENT_FIELDS: Record<keyof ResponseCreateParams, true> = {
  access_programs: true,
  background: true,
  background_options: true,
  context_management: true,
  conversation: true,
  image: true,
  include: true,
  input: true,
  instructions: true,
  max_output_tokens: true,
  max_tool_calls: true,
  metadata: true,
  model: true,
  moderation: true,
  parallel_tool_calls: true,
  previous_response_id: true,
  prompt: true,
  prompt_cache_key: true,
  prompt_cache_options: true,
  prompt_cache_retention: true,
  reasoning: true,
  safety_identifier: true,
  service_tier: true,
  store: true,
  stream: true,
  stream_options: true,
  temperature: true,
  text: true,
  tool_choice: true,
  tools: true,
  top_logprobs: true,
  top_p: true,
  truncation: true,
  user: true,
};

describe('the types of the official client', () => {
  it("knows every request field of the official client's types", () => {
    expect(Object.keys(CLIENT_FIELDS).filter((field) => !REQUEST_FIELDS.includes(field))).toEqual([]);
  });
});
