/*
 * What the credential of a caller decides about a turn: the user whose turn it is, and what a
 * client secret fixes in the request.
 */

import { actingFor, type Binding, type Principal } from '../domain/principal.js';
import { type ResponseRequest } from '../domain/request.js';
import { refuseParameter } from './instruction-rules.js';

/**
 * Returns the request within its binding: in the bound conversation, also if it names none.
 * @throws SluiceError `parameter_not_allowed` if the request chooses what the binding fixes
 */
export function boundTo(binding: Binding | null, request: ResponseRequest): ResponseRequest {
  if (binding === null) return request;
  if (binding.prompt !== undefined && request.prompt !== undefined) refuseParameter('prompt');
  if (binding.conversation === undefined) return request;
  // The continuation of a response would be outside the conversation.
  if (request.previousResponseId !== undefined) refuseParameter('previous_response_id');
  return { ...request, conversation: request.conversation ?? binding.conversation };
}

/**
 * Returns the request with the bound prompt, to render it. The values of its variables come from
 * the credential, so that no answer shows them.
 */
export function withBoundPrompt(binding: Binding | null, request: ResponseRequest): ResponseRequest {
  if (binding?.prompt === undefined) return request;
  const { id, version } = binding.prompt;
  return { ...request, prompt: { id, ...(version === undefined ? {} : { version }) } };
}

/**
 * Returns the caller of a turn: a server key that acts for no user acts for `safety_identifier`.
 * The credential of a user, and a user that the request header names, take precedence.
 * @throws SluiceError `invalid_value`
 */
export function onBehalfOf(caller: Principal, { safetyIdentifier }: ResponseRequest): Principal {
  if (safetyIdentifier === undefined || caller.kind !== 'key' || caller.user !== null) return caller;
  return actingFor(caller, safetyIdentifier, 'safety_identifier');
}

/** Returns the field that stores the class of a credential. No class, no field. */
export function classOf(limitsClass: string | null | undefined): { readonly limitsClass?: string } {
  return limitsClass === null || limitsClass === undefined ? {} : { limitsClass };
}
