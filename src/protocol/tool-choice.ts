/*
 * `tool_choice` of both kinds of request: a mode, one function, or the functions that are allowed.
 */

import { z } from 'zod';

import { type ToolChoice } from '../domain/response.js';
import { closed, functionOnly, listOf, NAME, servedType } from './schema-tools.js';
import { MOST_TOOLS } from './shared-fields.js';

const MODE = z.enum(['none', 'auto', 'required']);
const choiceIsServed = servedType('unsupported_parameter', (type) =>
  typeof type !== 'string' || type === 'function' || type === 'allowed_tools'
    ? undefined
    : "is not served; choose 'none', 'auto', 'required', a function or allowed_tools",
);

/** The functions of a request that the model may call: at least one. */
function allowedOf<Named extends z.ZodType>(named: Named) {
  return listOf(z.preprocess(functionOnly('allowed tools are functions'), named), MOST_TOOLS, 1);
}

interface Allowed {
  readonly mode?: 'none' | 'auto' | 'required' | undefined;
  readonly tools: readonly { readonly name: string }[];
}

function allowing({ mode = 'auto', tools }: Allowed): ToolChoice {
  if (mode === 'none') return mode;
  return { type: 'allowed_tools', mode, tools: tools.map(({ name }) => ({ type: 'function', name })) };
}

const NAMED = z.strictObject({ type: z.literal('function'), name: NAME });
const ALLOWED = z.strictObject({ type: z.literal('allowed_tools'), mode: MODE.optional(), tools: allowedOf(NAMED) });

/** `tool_choice` of a request for a response. */
export const TOOL_CHOICE = z.union([
  MODE,
  z.preprocess(
    choiceIsServed,
    z
      .discriminatedUnion('type', [NAMED, ALLOWED])
      .transform((choice): ToolChoice => (choice.type === 'function' ? choice : allowing(choice))),
  ),
]);

const CHAT_NAMED = z.strictObject({ type: z.literal('function'), function: closed({ name: NAME }) });
const CHAT_ALLOWED = z.strictObject({
  type: z.literal('allowed_tools'),
  allowed_tools: closed({ mode: MODE.optional(), tools: allowedOf(CHAT_NAMED) }),
});

/** `tool_choice` of a chat completions request, where a function has an object of its own. */
export const CHAT_TOOL_CHOICE = z.union([
  MODE,
  z.preprocess(
    choiceIsServed,
    z.discriminatedUnion('type', [CHAT_NAMED, CHAT_ALLOWED]).transform((choice): ToolChoice => {
      if (choice.type === 'function') return { type: 'function', name: choice.function.name };
      const { mode, tools } = choice.allowed_tools;
      return allowing({ mode, tools: tools.map((tool) => tool.function) });
    }),
  ),
]);
