/* Keys of what a turn does: who answers, and the steps around the answer. */

import { type z } from 'zod';
import {
  count,
  duration,
  envName,
  fileName,
  flag,
  key,
  list,
  number,
  oneOf,
  optionalKey,
  optionalSection,
  section,
  sectionList,
  text,
  url,
} from './keys.js';

const API_KEY_DEFAULT = '`OPENAI_API_KEY`';

const providerKeys = {
  model: optionalKey(
    text,
    '`gpt-4o-mini` with `openai`, `demo` with `demo`',
    'The model that answers. Not used where `auto` chose the demo provider.',
  ),
  api_key_env: optionalKey(
    envName,
    API_KEY_DEFAULT,
    'Variable that holds the API key. Needed for OpenAI itself and wherever this key is written.',
  ),
  api_key_file: optionalKey(fileName, 'none', 'File that holds the API key, instead of `api_key_env`.'),
  base_url: optionalKey(
    url(['http', 'https']),
    '`OPENAI_BASE_URL`, then OpenAI’s own',
    'Base URL of an OpenAI-compatible API, with its `/v1`.',
  ),
  config: section('How a call is made.', {
    max_tokens: optionalKey(count(1), 'the model’s own', 'Most tokens of one answer; a request may ask for fewer.'),
    temperature: optionalKey(number(0, 2), 'the model’s own', 'Sampling temperature where a request names none.'),
    timeout: key(duration('1s', '1h'), '60s', 'Bounds the whole call, from the first try to the last delta.'),
    first_delta_timeout: optionalKey(
      duration('100ms', '1h'),
      '`20s`, or `timeout` if that is shorter',
      'Longest wait for the first delta of one try.',
    ),
    idle_timeout: optionalKey(
      duration('100ms', '1h'),
      '`20s`, or `timeout` if that is shorter',
      'Longest silence between two deltas.',
    ),
  }),
};

export const provider = section('Who answers.', {
  type: key(
    oneOf(['auto', 'openai', 'demo']),
    'auto',
    '`openai`: any OpenAI-compatible API. `demo`: the built-in one, which needs no key and is no language model. `auto`: `openai` where the API key’s variable (or file) is set, else `demo`.',
  ),
  ...providerKeys,
});
export type FileProvider = z.output<typeof provider>;

export const fallbacks = sectionList(
  'Providers tried in order when the one before fails, only before the first delta.',
  {
    type: key(oneOf(['openai', 'demo']), 'openai', 'As `provider.type`, without `auto`.'),
    ...providerKeys,
  },
);

export const middleware = section('The steps of a turn, each of which can be taken out.', {
  state: section('Conversation memory.', {
    enabled: key(flag, true, 'False refuses `conversation` and `previous_response_id`.'),
    max_messages: optionalKey(
      count(1, 10_000),
      '`state.max_messages`',
      'How many items of a conversation are sent to the provider.',
    ),
  }),
  template: section('The system prompt.', {
    enabled: key(flag, true, 'False sends no system prompt; so does a missing `source`.'),
    source: optionalKey(
      text,
      'no packs',
      'A pack file or a folder of packs. `support.pack` finds `support.pack` or `support.pack.json`: beside this file, then in the working directory, then in `packs/`.',
    ),
    default: optionalKey(
      text,
      'the only prompt of the packs, if there is one',
      'The prompt of a request that names none: `pack/prompt`, or the prompt’s name where unambiguous.',
    ),
  }),
  validator: section('Guardrails on the input and output of every turn, beside the pack’s own.', {
    enabled: key(flag, true, 'False leaves the pack’s own guardrails only.'),
    banned_words: key(list(text, 'words'), [], 'Words that no input and no output may contain; whole words, any case.'),
    max_length: optionalKey(
      count(1),
      'no limit',
      'Longest input and output, in characters (code points). Longer input is refused, output is ended there.',
    ),
  }),
  provider: section('What protects and counts provider calls.', {
    enabled: key(flag, true, 'False drops limit, retry, breaker and cost, never the provider.'),
    rate_limit: optionalSection('no limit', 'What all replicas together send to the provider.', {
      requests_per_minute: key(count(1), 60, 'How fast the bucket refills.'),
      burst: key(count(1), 10, 'How many calls may go at once; the size of the bucket.'),
    }),
    retry: section('Tries before the first delta.', {
      max_attempts: key(count(1, 10), 3, 'How often a call is tried; counts the first.'),
      backoff: key(
        oneOf(['exponential', 'constant']),
        'exponential',
        'How the wait between tries grows; the provider’s `Retry-After` goes first.',
      ),
    }),
    breaker: section('Stops calling a provider that fails.', {
      failures: key(count(1, 1_000), 5, 'Failures in a row that open the breaker.'),
      open_for: key(duration('1s', '1h'), '30s', 'How long it stays open before one call tries again.'),
    }),
    cost_tracking: key(flag, true, 'Whether the cost of each turn is computed; unknown models have none.'),
  }),
});
