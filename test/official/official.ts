/*
 * The official `openai` package, unmodified, in front of the real gateway: clients, and counts of
 * what reached the server. Knows nothing of Sluice beyond its address.
 */

import { type Server } from 'node:http';
import OpenAI, { type ClientOptions } from 'openai';
import { type ResponseStreamEvent } from 'openai/resources/responses/responses';
import { ResponsesWS, type ResponsesWSClientOptions } from 'openai/resources/responses/ws';
import { type TestGateway } from '../support/gateway.js';

/** A client as a user makes one; nothing is retried unless the test enables it. */
export function officialClient(url: string, options: ClientOptions = {}): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: 'sk-test', maxRetries: 0, ...options });
}

/** For each server, the lists to which its one listener adds every request. */
const countedAt = new WeakMap<Server, string[][]>();

/** Counts the HTTP requests that reach the gateway from now on, as `METHOD /path`. */
export function countRequests({ gateway }: TestGateway): string[] {
  const requests: string[] = [];
  // Nest types the server of its adapter as any.
  const server = gateway.app.getHttpServer() as Server;
  const lists = countedAt.get(server);
  if (lists !== undefined) {
    lists.push(requests);
    return requests;
  }
  const all = [requests];
  countedAt.set(server, all);
  server.on('request', ({ method, url }) => {
    for (const list of all) list.push(`${method} ${url}`);
  });
  return requests;
}

export async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const each of source) all.push(each);
  return all;
}

interface Numbered {
  readonly type: string;
  readonly sequence_number: number;
}

/** The text that the deltas among the events say. */
export function deltaText(events: readonly { readonly type: string }[]): string {
  return events.map((event) => (isDelta(event) ? event.delta : '')).join('');
}

function isDelta(event: {
  readonly type: string;
}): event is Extract<ResponseStreamEvent, { type: 'response.output_text.delta' }> {
  return event.type === 'response.output_text.delta';
}

export function numbers(events: readonly Numbered[]): number[] {
  return events.map((event) => event.sequence_number);
}

/** `[from, from + 1, …]`, `count` numbers long. */
export function counting(from: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => from + i);
}

/** What `demo: text=numbers` says. */
export function spoken(deltas: number): string {
  return counting(0, deltas).join(' ');
}

/** Numbers in [0, 1) that are the same in every run (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/**
 * An open socket of the official client. Errors are the test's to look at: they reach its `error`
 * listeners.
 */
export async function openSocket(client: OpenAI, options: ResponsesWSClientOptions = {}): Promise<ResponsesWS> {
  const ws = new ResponsesWS(client, options);
  ws.on('error', () => undefined);
  await new Promise<void>((resolve, reject) => {
    ws.socket.once('open', resolve);
    ws.socket.once('error', reject);
  });
  return ws;
}

/** Resolves when the socket is closed permanently. */
export function closed(ws: ResponsesWS): Promise<{ readonly code: number; readonly reason: string }> {
  return new Promise((resolve) => ws.on('close', (code, reason) => resolve({ code, reason })));
}

export function sendRaw(ws: ResponsesWS, event: object): void {
  ws.sendRaw(JSON.stringify(event));
}
