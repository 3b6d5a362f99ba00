/*
 * The guardrails that the configuration applies to every turn: its list, and the short forms
 * `banned_words` and `max_length`.
 */

import { type Mistake } from '../config/config-error.js';
import { type AppConfig } from '../config/schema.js';
import { type GuardrailSpec } from './guardrail.js';
import { guardrailsFrom } from './read-guardrails.js';

const LIST = 'middleware.validator.guardrails';

/** Returns the mistakes in the list, with the paths of their keys. */
export function guardrailMistakes({ middleware: { validator } }: AppConfig): Mistake[] {
  return guardrailsFrom(validator.guardrails).mistakes.map(({ pointer, what }) => ({
    path: LIST + pathOf(pointer),
    problem: what,
  }));
}

export function configuredGuardrails({ middleware: { validator } }: AppConfig): GuardrailSpec[] {
  const { enabled, banned_words: words, max_length: length } = validator;
  const short = [
    { type: 'banned_words', enabled: words.length > 0, params: { words } },
    { type: 'max_length', enabled: length !== null, params: { max_characters: length } },
  ];
  return enabled ? [...short, ...guardrailsFrom(validator.guardrails).guardrails] : [];
}

/** `/0/params/words/3` becomes `[0].params.words[3]`. */
function pathOf(pointer: string): string {
  return pointer
    .split('/')
    .slice(1)
    .map((step) => (/^\d+$/u.test(step) ? `[${step}]` : `.${step.replaceAll('~1', '/').replaceAll('~0', '~')}`))
    .join('');
}
