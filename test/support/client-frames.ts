/* One frame of each client event, for tests over the tables of events. */

import { type EVENT_RULES } from '../../src/gateway/event-rules.js';

export interface NamedObjects {
  readonly conversation: string;
  readonly response: string;
}

/**
 * Returns a frame of this type that names the objects.
 * @param text the input, in frames with one
 * @param token the credential, in frames with one
 */
export function frameNaming(
  type: string,
  { conversation, response }: NamedObjects,
  { text, token }: { readonly text: string; readonly token: string },
): object {
  const frames: Readonly<Record<keyof typeof EVENT_RULES, object>> = {
    'response.create': { input: text, conversation },
    'response.cancel': { response_id: response },
    'response.steer': { previous_response_id: response, input: text },
    'sluice:resume': { response_id: response },
    'sluice:subscribe': { conversation },
    'sluice:unsubscribe': { conversation },
    'sluice:auth': { token },
    'sluice:ping': {},
  };
  return { type, ...frames[type as keyof typeof frames] };
}
