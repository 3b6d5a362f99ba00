/*
 * The facts of the public Open Responses specification (2026-04-24, openresponses.org) in a
 * notation of our own: which fields each object and event has, and of which type. Checks objects
 * and events of the gateway against them. Further fields are allowed.
 *
 * A line lists `field:type`, a type being `string`, `integer`, `number`, `boolean`, `object`,
 * `any`, `null`, a literal in quotes, an object of this table, `[type]` for a list of it, or
 * several of them with `|` between. A field with `?` may be missing.
 */

import { Ajv } from 'ajv';

const STATUS = "'in_progress'|'completed'|'incomplete'";
const IN_ITEM = 'sequence_number:integer item_id:string output_index:integer';
const IN_PART = `${IN_ITEM} content_index:integer`;
const IN_SUMMARY = `${IN_ITEM} summary_index:integer`;
const WITH_RESPONSE = 'sequence_number:integer response:Response';
const WITH_ITEM = 'sequence_number:integer output_index:integer item:Item|null';

const OBJECTS: Readonly<Record<string, string>> = {
  Response: [
    "id:string object:'response' created_at:integer completed_at:integer|null status:string error:Error|null",
    'incomplete_details:IncompleteDetails|null model:string previous_response_id:string|null instructions:string|null',
    "output:[Item] tools:[Tool] tool_choice:NamedChoice|AllowedTools|'none'|'auto'|'required' truncation:'auto'|'disabled'",
    'parallel_tool_calls:boolean text:Text top_p:number temperature:number presence_penalty:number frequency_penalty:number',
    'top_logprobs:integer reasoning:ReasoningFacts|null usage:Usage|null max_output_tokens:integer|null',
    'max_tool_calls:integer|null store:boolean background:boolean service_tier:string metadata:object',
    'safety_identifier:string|null prompt_cache_key:string|null',
  ].join(' '),
  Error: 'code:string message:string',
  IncompleteDetails: 'reason:string',
  Tool: "type:'function' name:string description:string|null parameters:object|null strict:boolean|null",
  NamedChoice: "type:'function' name?:string",
  AllowedTools: "type:'allowed_tools' tools:[NamedChoice] mode:'none'|'auto'|'required'",
  Text: "format:PlainFormat|SchemaFormat verbosity?:'low'|'medium'|'high'",
  PlainFormat: "type:'text'|'json_object'",
  // The published schema requires all five fields, and null for `schema`: no answer of OpenAI fits
  // it. These are OpenAI's.
  SchemaFormat: "type:'json_schema' name:string description?:string schema:object strict?:boolean|null",
  ReasoningFacts:
    "effort:'none'|'minimal'|'low'|'medium'|'high'|'xhigh'|'max'|null summary:'concise'|'detailed'|'auto'|null",
  Usage:
    'input_tokens:integer output_tokens:integer total_tokens:integer input_tokens_details:Cached output_tokens_details:Reasoned',
  Cached: 'cached_tokens:integer',
  Reasoned: 'reasoning_tokens:integer',
  Message: `type:'message' id:string status:${STATUS} role:'user'|'assistant'|'system'|'developer' content:[Part]`,
  FunctionCall: `type:'function_call' id:string call_id:string name:string arguments:string status:${STATUS}`,
  FunctionCallOutput: `type:'function_call_output' id:string call_id:string output:string|[Part] status:${STATUS}`,
  Reasoning: "type:'reasoning' id:string content?:[Part] summary:[Part]",
  OutputText: "type:'output_text' text:string annotations:[any] logprobs?:[LogProb]",
  InputText: "type:'input_text' text:string",
  Refusal: "type:'refusal' refusal:string",
  Summary: "type:'summary_text' text:string",
  Thought: "type:'reasoning_text' text:string",
  LogProb: 'token:string logprob:number bytes:[integer] top_logprobs:[any]',
  ErrorFacts: 'type:string code:string|null message:string param:string|null headers?:object',
};

const UNIONS: Readonly<Record<string, string>> = {
  Item: 'Message|FunctionCall|FunctionCallOutput|Reasoning',
  Part: 'OutputText|InputText|Refusal|Summary|Thought',
};

const EVENTS: Readonly<Record<string, string>> = {
  'response.created': WITH_RESPONSE,
  'response.queued': WITH_RESPONSE,
  'response.in_progress': WITH_RESPONSE,
  'response.completed': WITH_RESPONSE,
  'response.incomplete': WITH_RESPONSE,
  'response.failed': WITH_RESPONSE,
  'response.output_item.added': WITH_ITEM,
  'response.output_item.done': WITH_ITEM,
  'response.content_part.added': `${IN_PART} part:Part`,
  'response.content_part.done': `${IN_PART} part:Part`,
  'response.output_text.delta': `${IN_PART} delta:string logprobs?:[LogProb]`,
  'response.output_text.done': `${IN_PART} text:string logprobs?:[LogProb]`,
  'response.refusal.delta': `${IN_PART} delta:string`,
  'response.refusal.done': `${IN_PART} refusal:string`,
  // The specification calls them response.reasoning.delta and .done; these are the names of OpenAI
  // and its clients.
  'response.reasoning_text.delta': `${IN_PART} delta:string`,
  'response.reasoning_text.done': `${IN_PART} text:string`,
  'response.reasoning_summary_part.added': `${IN_SUMMARY} part:Part`,
  'response.reasoning_summary_part.done': `${IN_SUMMARY} part:Part`,
  'response.reasoning_summary_text.delta': `${IN_SUMMARY} delta:string`,
  'response.reasoning_summary_text.done': `${IN_SUMMARY} text:string`,
  'response.function_call_arguments.delta': `${IN_ITEM} delta:string`,
  'response.function_call_arguments.done': `${IN_ITEM} arguments:string`,
};
const STREAM_ERROR = 'sequence_number:integer error:ErrorFacts';
const SOCKET_ERROR = 'status:integer error:ErrorFacts';

const PLAIN = new Set(['string', 'integer', 'number', 'boolean', 'object', 'null']);

function typeSchema(type: string): object {
  const options = type.split('|').map((option): object => {
    if (option === 'any') return {};
    if (PLAIN.has(option)) return { type: option };
    if (option.startsWith("'")) return { const: option.slice(1, -1) };
    if (option.startsWith('[')) return { type: 'array', items: typeSchema(option.slice(1, -1)) };
    return { $ref: `#/$defs/${option}` };
  });
  return options.length === 1 ? (options[0] ?? {}) : { anyOf: options };
}

function objectSchema(line: string): object {
  const fields = line.split(' ').map((field) => {
    const at = field.indexOf(':');
    return { name: field.slice(0, at), type: field.slice(at + 1) };
  });
  const properties = fields.map(({ name, type }) => [name.replace('?', ''), typeSchema(type)] as const);
  const required = fields.filter(({ name }) => !name.endsWith('?')).map(({ name }) => name);
  return { type: 'object', required, properties: Object.fromEntries(properties) };
}

const ajv = new Ajv({ strict: false });
ajv.addSchema({
  $id: 'facts',
  $defs: {
    ...Object.fromEntries(Object.entries(OBJECTS).map(([name, line]) => [name, objectSchema(line)])),
    ...Object.fromEntries(Object.entries(UNIONS).map(([name, type]) => [name, typeSchema(type)])),
    ...Object.fromEntries(
      Object.entries({ ...EVENTS, 'error.stream': STREAM_ERROR, 'error.socket': SOCKET_ERROR }).map(([name, line]) => [
        name,
        objectSchema(line),
      ]),
    ),
  },
});

function mistakesOf(name: string, value: unknown): string[] {
  if (ajv.validate({ $ref: `facts#/$defs/${name}` }, value)) return [];
  return (ajv.errors ?? []).map(({ instancePath, message }) => `${name}${instancePath} ${message ?? ''}`);
}

/** What is wrong with a response object. */
export function responseMistakes(response: unknown): string[] {
  return mistakesOf('Response', response);
}

/** What is wrong with an event. `on`: where it was received, because errors have two shapes. */
export function eventMistakes(event: { readonly type: string }, on: 'stream' | 'socket'): string[] {
  if (event.type === 'error') return mistakesOf(`error.${on}`, event);
  return event.type in EVENTS ? mistakesOf(event.type, event) : [`${event.type} is no event of the specification`];
}

/** Every type of event that the specification has and the gateway can send. */
export const EVENT_TYPES: readonly string[] = Object.keys(EVENTS);
