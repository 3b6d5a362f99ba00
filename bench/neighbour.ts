/*
 * A hostile client in a process of its own: for each kind of frame a socket that sends so many a
 * second, and reconnects a second after it was closed. Bounded: it sends at most `perSecond` frames
 * of each kind in each of `seconds`, and none while its own buffer is full.
 */

import { Agent, request } from 'node:http';
import { WebSocket } from 'ws';
import { answerQuestions, type Annoyance, type AnnoyancePlan } from './lib/ipc.js';

const TICK_MS = 10;
const RECONNECT_MS = 1_000;
/** A kind pauses while its socket holds this much unsent: the gateway does not read from it. */
const UNSENT_MAX_BYTES = 1_048_576;
const REQUESTS_AT_ONCE = 64;
/** Below what the support pack lets an answer have; a response that has ended is created again. */
const DELTAS = 250;

type Frame = Readonly<Record<string, unknown>>;

/** What a kind needs to write its next frame. */
interface Known {
  readonly sent: number;
  /** Undefined: none of its responses runs now. */
  readonly responseId: string | undefined;
  readonly conversation: string;
}

interface Kind {
  readonly name: string;
  /** Whether its socket creates a response first, and again when it has ended. */
  readonly creates?: boolean;
  /** Whether its socket is never read. It learns its response from a second socket. */
  readonly neverReads?: boolean;
  /** @returns undefined if nothing can be sent now */
  readonly frame: (known: Known) => string | undefined;
}

const resume = ({ responseId, sent }: Known): string | undefined =>
  responseId === undefined
    ? undefined
    : json({ type: 'sluice:resume', response_id: responseId, stream_id: `l${sent % 8}` });

const KINDS: readonly Kind[] = [
  { name: 'resume', creates: true, frame: resume },
  { name: 'never read', creates: true, neverReads: true, frame: resume },
  {
    name: 'subscribe',
    frame: ({ sent, conversation }) =>
      json({ type: sent % 2 === 0 ? 'sluice:subscribe' : 'sluice:unsubscribe', conversation }),
  },
  { name: 'cancel', frame: ({ sent }) => json({ type: 'response.cancel', response_id: unknownResponse(sent) }) },
  { name: 'unknown keys', frame: ({ sent }) => json({ type: 'response.create', input: 'hi', ...unknownKeys(sent) }) },
  { name: 'invalid JSON', frame: () => '{"type":"response.create","input":' },
  { name: 'large array', frame: () => LARGE },
];

const LARGE = json({
  type: 'response.create',
  max_output_tokens: 1,
  input: [{ role: 'user', content: Array.from({ length: 900 }, () => ({ type: 'input_text', text: 'x' })) }],
});

function json(frame: Frame): string {
  return JSON.stringify(frame);
}

function unknownResponse(sent: number): string {
  return `resp_${sent.toString(16).padStart(32, '0')}`;
}

function unknownKeys(sent: number): Frame {
  return Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`key_${sent}_${i}`, i]));
}

const counts: Annoyance = { sent: {}, answered: {}, closed: {}, heldBack: {} };
const add = (count: Record<string, number>, name: string, by = 1): void => void (count[name] = (count[name] ?? 0) + by);
let running = false;
const open = new Set<WebSocket>();

function connect(url: string, onFrame: (frame: Frame) => void, onClose: (code: number) => void): WebSocket {
  const socket = new WebSocket(url, { perMessageDeflate: false });
  open.add(socket);
  socket.on('message', (data: Buffer) => onFrame(JSON.parse(data.toString()) as Frame));
  // A refused upgrade and a reset connection close the socket as well.
  socket.on('error', () => undefined);
  socket.on('close', (code: number) => {
    open.delete(socket);
    onClose(code);
  });
  return socket;
}

/** Keeps a socket of one kind open, and sends its frames by the clock. */
function annoy(kind: Kind, { url, perSecond, seconds }: AnnoyancePlan, conversation: string): void {
  const until = performance.now() + seconds * 1_000;
  let responseId: string | undefined;
  let socket: WebSocket | undefined;
  let sent = 0;
  const create = (on: WebSocket): void =>
    on.send(json({ type: 'response.create', input: 'hello', max_output_tokens: DELTAS }));
  const learn = (on: WebSocket, frame: Frame): void => {
    const type = String(frame['type']);
    if (type === 'response.created') responseId = (frame['response'] as { readonly id: string }).id;
    if (!/^response\.(?:completed|incomplete|failed)$/u.test(type)) return;
    responseId = undefined;
    if (running) create(on);
  };
  const start = (): void => {
    if (!running || performance.now() >= until) return;
    const made = connect(
      url,
      (frame) => {
        add(counts.answered, kind.name);
        if (kind.creates === true && kind.neverReads !== true) learn(made, frame);
      },
      (code) => {
        add(counts.closed, `${kind.name} ${code}`);
        if (kind.neverReads !== true) responseId = undefined;
        socket = undefined;
        setTimeout(start, RECONNECT_MS).unref();
      },
    );
    made.on('open', () => {
      socket = made;
      if (kind.neverReads === true) made.pause();
      else if (kind.creates === true) create(made);
    });
  };
  if (kind.neverReads === true) {
    const reader = connect(
      url,
      (frame) => learn(reader, frame),
      () => undefined,
    );
    reader.on('open', () => create(reader));
  }
  start();
  everyTick(perSecond, until, (frames) => {
    for (let i = 0; i < frames; i++) {
      if (socket?.readyState !== WebSocket.OPEN) return;
      if (socket.bufferedAmount > UNSENT_MAX_BYTES) return add(counts.heldBack, kind.name, frames - i);
      const frame = kind.frame({ sent, responseId, conversation });
      if (frame === undefined) return;
      socket.send(frame);
      sent += 1;
      add(counts.sent, kind.name);
    }
  });
}

/** Lists conversations over REST. */
function annoyOverRest({ url, perSecond, seconds }: AnnoyancePlan): void {
  const name = 'list conversations';
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  let inFlight = 0;
  everyTick(perSecond, performance.now() + seconds * 1_000, (requests) => {
    for (let i = 0; i < requests; i++) {
      if (inFlight >= REQUESTS_AT_ONCE) return add(counts.heldBack, name, requests - i);
      inFlight += 1;
      add(counts.sent, name);
      const call = request(`${httpOf(url)}/v1/conversations?limit=100`, { agent }, (answer) => {
        add(counts.answered, `${name} ${answer.statusCode}`);
        answer.resume();
      });
      call.on('error', () => add(counts.closed, name));
      call.on('close', () => (inFlight -= 1));
      call.end();
    }
  });
}

function everyTick(perSecond: number, until: number, send: (frames: number) => void): void {
  let due = 0;
  const timer = setInterval(() => {
    if (!running || performance.now() >= until) return clearInterval(timer);
    // What a busy machine makes late is not sent at once afterwards.
    due += (perSecond * TICK_MS) / 1_000;
    const frames = Math.floor(due);
    due -= frames;
    send(frames);
  }, TICK_MS);
}

function httpOf(url: string): string {
  return new URL(url).origin.replace(/^ws/u, 'http');
}

async function conversationOn(url: string): Promise<string> {
  const answer = await fetch(`${httpOf(url)}/v1/conversations`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
  });
  if (!answer.ok) throw new Error(`unable to create a conversation; the gateway answers ${answer.status}`);
  return ((await answer.json()) as { readonly id: string }).id;
}

answerQuestions({
  annoy: async ({ plan }) => {
    const conversation = await conversationOn(plan.url);
    running = true;
    for (const kind of KINDS) annoy(kind, plan, conversation);
    annoyOverRest(plan);
    return null;
  },
  annoyance: () => counts,
  stop: () => {
    running = false;
    for (const socket of open) socket.terminate();
    return null;
  },
});
// Its work is to be asked.
process.channel?.ref();
