/* Keys of the steps of a turn around the provider's answer. */

import {
  count,
  duration,
  flag,
  jsonObject,
  key,
  list,
  number,
  oneOf,
  optionalKey,
  optionalSection,
  requiredKey,
  section,
  sectionMap,
  size,
  text,
  timeZone,
  weights,
} from './keys.js';
import { breakerKeys, retryKeys } from './schema-provider.js';

/** Why a call to a provider failed before its first delta. */
const FAILOVER_CAUSES = [
  'rate_limit',
  'error',
  'unavailable',
  'timeout',
  'refused',
  'context_length',
  'content_policy',
] as const;
/**
 * The defaults. A refusal by policy is an answer: the same request must not be sent to another
 * provider.
 */
const DEFAULT_FAILOVER_CAUSES = FAILOVER_CAUSES.filter((cause) => cause !== 'content_policy');

export const middleware = section('The steps of a turn, each of which can be taken out.', {
  state: section('Conversations and chains.', {
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
      "The prompt of a request that names none: `pack/prompt`, or the prompt's name where unambiguous.",
    ),
    strict: key(
      flag,
      false,
      'True refuses packs with parts that Sluice does not run, such as workflows; else one warning names them.',
    ),
    variables: key(
      jsonObject,
      {},
      'Values of variables, by name, for requests that leave them out. They apply to every prompt that declares the variable.',
    ),
    canary: key(
      weights,
      {},
      'Weights of versions of a prompt, by `pack/prompt`, for requests that name no version: `support/support: {1.0.0: 90, 1.1.0: 10}`. A conversation, else a user, keeps its version.',
    ),
    shadow: key(
      sectionMap(
        {
          version: requiredKey(text, 'The candidate version.'),
          sample: key(number(0, 1), 0.01, 'Share of the turns that the candidate is tried on.'),
          max_per_hour: key(count(1), 60, 'Most runs an hour, for each replica.'),
          cost_per_hour_usd: key(
            number(0),
            1,
            'Cost of an hour, for each replica, in US dollars. The run that passes it is the last of its hour.',
          ),
        },
        'prompts with `version` (the candidate), `sample` (0 to 1; `0.01`), `max_per_hour` (`60`) and `cost_per_hour_usd` (`1`), both for each replica',
      ),
      {},
      'Candidate versions of prompts, by `pack/prompt`, that are tried without viewers on the input of ended turns; see docs/packs.md.',
    ),
    reload_every: key(
      duration('0ms', '1h'),
      '10s',
      'How often the pack files are checked. Packs are reloaded when they have changed and then stayed the same for one interval. 0: only on SIGHUP.',
    ),
    time_zone: key(timeZone, 'UTC', 'The time zone of dates and times in prompts.'),
  }),
  validator: section("Guardrails on the input and output of every turn, beside the pack's own.", {
    enabled: key(flag, true, "False leaves the pack's own guardrails only."),
    banned_words: key(list(text, 'words'), [], 'Words that no input and no output may contain; whole words, any case.'),
    max_length: optionalKey(
      count(1),
      'no limit',
      'Longest input and output, in characters (code points). Longer input is refused, output is ended there.',
    ),
    guardrails: key(
      list(jsonObject, 'guardrails'),
      [],
      'More guardrails, as packs write their validators: `type`, `params`, `direction`, `mode`, `message` and others; see docs/guardrails.md.',
    ),
    hold_max: key(
      size('1KiB', '16MiB'),
      '64KiB',
      'Most text of one answer that is held while a guardrail waits for a verdict. Beyond it the provider is not read.',
    ),
  }),
  provider: section('Limits, retries, breaker and cost of provider calls.', {
    enabled: key(flag, true, 'False drops limit, retry, breaker and cost, never the provider.'),
    rate_limit: optionalSection('no limit', 'Limit of the calls that all replicas together send to the provider.', {
      requests_per_minute: key(count(1), 60, 'How fast the bucket refills.'),
      burst: key(count(1), 10, 'How many calls may go at once; the size of the bucket.'),
      max_wait: key(
        duration('0ms', '1m'),
        '1s',
        'How long a new turn waits for its place in the bucket before it is refused with 429 and `Retry-After`.',
      ),
    }),
    retry: section('Attempts before the first delta, of the last provider in line.', retryKeys),
    breaker: section('Circuit breaker: stops calling a provider that fails.', breakerKeys),
    failover: section('When the next provider in line is called.', {
      on: key(
        list(oneOf(FAILOVER_CAUSES), 'causes'),
        DEFAULT_FAILOVER_CAUSES,
        'Failures before the first delta that move a call on to the next provider.',
      ),
      after: key(
        duration('100ms', '1h'),
        '3s',
        'Silence before the first delta after which the next provider is called in parallel. The first delta wins.',
      ),
      hedge_ratio: key(
        number(0, 1),
        0.1,
        'Share of calls that may be sent to a second provider in parallel, over time, with bursts of ten. 0: none.',
      ),
    }),
    cost_tracking: key(flag, true, 'Whether the cost of each turn is computed; unknown models have none.'),
  }),
});
