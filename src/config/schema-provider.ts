/*
 * Keys of providers: address and API key, the fields of requests, timeouts, retries and fallbacks.
 */

import { type z } from 'zod';
import {
  count,
  duration,
  envName,
  fileName,
  flag,
  jsonObject,
  key,
  list,
  number,
  oneOf,
  optionalKey,
  optionalSection,
  section,
  sectionList,
  sectionMap,
  text,
  textMap,
  url,
} from './keys.js';
import { INPUT_KINDS } from '../domain/media.js';
import { tlsSection } from './schema-tls.js';
import { namesOf, type ProviderTypes } from './provider-types.js';

const API_KEY_DEFAULT = '`OPENAI_API_KEY`';
const BY_HOST = "`max_completion_tokens` for OpenAI's and Azure's hosts, else `max_tokens`";

/** Prices in US dollars per million tokens. */
const prices = optionalSection('the public price list', 'Prices in US dollars for a million tokens.', {
  input: key(number(0), 0, 'Input tokens.'),
  cached_input: optionalKey(number(0), '`input`', 'Input tokens that the provider read from its cache.'),
  cache_write: optionalKey(number(0), '`input`', 'Input tokens that the provider wrote to its cache.'),
  output: key(number(0), 0, 'Output tokens.'),
  reasoning: optionalKey(number(0), '`output`', 'Output tokens that were reasoning.'),
});

/** The fields of a request to a provider. A model may override each of them. */
const requestKeys = {
  body: key(jsonObject, {}, 'Fields added to the body of every request; they replace fields of the same name.'),
  drop: key(list(text, 'names of fields'), [], 'Fields never sent, such as `temperature` to a model that refuses it.'),
  tokens_field: optionalKey(
    oneOf(['max_tokens', 'max_completion_tokens']),
    BY_HOST,
    'Name of the field that bounds the tokens of an answer.',
  ),
  input: optionalKey(
    list(oneOf(INPUT_KINDS), 'kinds of input'),
    "`text`, `image` and `file` for OpenAI's and Azure's hosts, else `text`",
    'What the model takes. `file_url`: files by their URL, sent as `file_data`. A request with anything else is refused with 400; in the history, a note takes its place.',
  ),
  prices,
};

/** Keys of retries and breaker, for all providers or for one. */
export const retryKeys = {
  max_attempts: key(count(1, 10), 3, 'Maximum number of attempts of a call, including the first.'),
  backoff: key(
    oneOf(['exponential', 'constant']),
    'exponential',
    "How the wait between attempts grows; the provider's `Retry-After` takes precedence.",
  ),
};
export const breakerKeys = {
  failures: key(count(1, 1_000), 5, 'Consecutive failures that open the breaker.'),
  open_for: key(duration('1s', '1h'), '5s', 'How long the breaker stays open before one call is tried.'),
};

const providerKeys = {
  api_key_env: optionalKey(
    envName,
    API_KEY_DEFAULT,
    'Variable that holds the API key. Needed for OpenAI itself and wherever this key is written.',
  ),
  api_key_file: optionalKey(fileName, 'none', 'File that holds the API key, instead of `api_key_env`.'),
  base_url: optionalKey(
    url(['http', 'https']),
    "`OPENAI_BASE_URL`, then OpenAI's own",
    'Base URL of an OpenAI-compatible API, with its `/v1`.',
  ),
  tls: tlsSection,
  headers: key(textMap('header names with their values'), {}, 'Headers of every request. Never a secret.'),
  headers_env: key(
    textMap('header names with names of environment variables', envName),
    {},
    'Headers whose values are secrets, read from environment variables: `api-key: AZURE_OPENAI_API_KEY`.',
  ),
  headers_file: key(textMap('header names with files'), {}, 'Headers whose values are secrets, read from files.'),
  query: key(textMap('parameter names with their values'), {}, 'Query parameters of every request. Never a secret.'),
  ...requestKeys,
  stream_options: key(flag, true, 'Whether `stream_options` is sent, which requests the usage of a streamed answer.'),
  tool_call_ids: optionalKey(
    oneOf(['as_given', 'nine_characters']),
    "`nine_characters` for Mistral's hosts, else `as_given`",
    'How ids of tool calls are sent back: as they are, or as nine letters and digits, as Mistral wants them.',
  ),
  send_reasoning: optionalKey(
    flag,
    "true for DeepSeek's, Moonshot's and Google's hosts, else false",
    'Whether the reasoning of earlier tool rounds is sent back, as models that think between calls need it.',
  ),
  retry: optionalSection('`middleware.provider.retry`', 'Attempts at this provider before the first delta.', retryKeys),
  breaker: optionalSection('`middleware.provider.breaker`', 'Circuit breaker of this provider.', breakerKeys),
  models: key(
    sectionMap(requestKeys, 'model names with `body`, `drop`, `tokens_field`, `input` and `prices`'),
    {},
    'Settings of single models of this provider.',
  ),
  config: section('How a call is made.', {
    max_tokens: optionalKey(count(1), "the model's own", 'Most tokens of one answer; a request may set fewer.'),
    temperature: optionalKey(number(0, 2), "the model's own", 'Sampling temperature where a request names none.'),
    timeout: key(duration('1s', '1h'), '60s', 'Bounds the whole call, from the first attempt to the last delta.'),
    first_delta_timeout: optionalKey(
      duration('100ms', '1h'),
      '`20s`, or `timeout` if that is shorter',
      'Longest wait for the first delta of one attempt.',
    ),
    idle_timeout: optionalKey(
      duration('100ms', '1h'),
      '`20s`, or `timeout` if that is shorter',
      'Longest silence between two deltas.',
    ),
    reasoning_timeout: optionalKey(
      duration('1s', '1h'),
      '`timeout`',
      'Longest time from the first reasoning to the first text or function call.',
    ),
  }),
};

/** @returns the sections that name a provider, of one of these types */
export function providerSections(types: ProviderTypes) {
  const names = namesOf(types);
  const models = names.map((name) => `\`${types[name]?.defaultModel}\` with \`${name}\``).join(', ');
  const model = optionalKey(text, models, 'Model that answers. Not used if `auto` chose the demo provider.');
  const provider = section('The provider of answers.', {
    type: key(
      oneOf(['auto', ...names]),
      'auto',
      "`openai`: any OpenAI-compatible API. `demo`: the built-in one, which needs no key and is no language model. `auto`: `openai` where the API key's variable (or file) is set, else `demo`.",
    ),
    model,
    ...providerKeys,
  });
  const fallbacks = sectionList('Providers tried in order when the one before fails, only before the first delta.', {
    type: key(oneOf(names), 'openai', 'As `provider.type`, without `auto`.'),
    model,
    ...providerKeys,
  });
  return { provider, fallbacks };
}
export type FileProvider = z.output<ReturnType<typeof providerSections>['provider']>;
