/*
 * A provider that plays one script a call, in turn, the last one again and again, and counts its
 * calls.
 */

import { type ErrorCode } from '../../src/domain/errors.js';
import { DemoProvider } from '../../src/provider/demo/demo-provider.js';
import { type DemoStep } from '../../src/provider/demo/demo-script.js';
import { type ProviderRequest } from '../../src/provider/provider.js';

export class ScriptedProvider extends DemoProvider {
  readonly requests: ProviderRequest[];

  constructor(answers: readonly (readonly DemoStep[])[], name = 'scripted') {
    const requests: ProviderRequest[] = [];
    super({
      name,
      deltaIntervalMs: 0,
      script: (request) => ({ steps: answers[Math.min(requests.push(request), answers.length) - 1] ?? [] }),
    });
    this.requests = requests;
  }
}

export const say = (text: string): DemoStep => ({ type: 'text', text });
export const wait = (ms: number): DemoStep => ({ type: 'wait', ms });
export const HANG: DemoStep = { type: 'hang' };
export const fail = (code: ErrorCode, retryAfterMs?: number): DemoStep => ({
  type: 'error',
  code,
  ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
});
