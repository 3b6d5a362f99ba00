/*
 * The playground: a chat page on the browser client, as a newcomer would write one. It shows what the client tells and
 * remembers where each answer stands, so that a reload goes on in the middle of a sentence.
 */

import { createClient, SluiceError, type SluiceErrorShape, type SluiceResponse } from '../src/client.js';
import { newTurn, recall, remember, type RememberedTurn } from './memory.js';
import { type TurnView, View } from './view.js';
import { connectionWords, endNote, errorNote, modelWords, numbersLine } from './words.js';

const state = recall();
const sluice = createClient({ token: () => state.token });
/** Turns that have not ended, with what draws them and, once it was asked for, their response. */
const running = new Map<RememberedTurn, { readonly shown: TurnView; response: SluiceResponse | null }>();
const view = new View({ send, stop, startOver, useToken });
let conversation: Promise<string> | null = state.conversation === null ? null : Promise.resolve(state.conversation);

sluice.on('state', (change) => {
  view.connection(change.state, connectionWords(change));
  if (change.state === 'closed' && (change.error?.status === 401 || change.error?.code === 'insufficient_scope')) {
    view.askForToken(state.token === '' ? 'This server asks for a key.' : change.error.message);
  }
});

let saving: ReturnType<typeof setTimeout> | undefined;
/** Remembers soon, not on every delta; leaving the page remembers at once. */
function save(): void {
  saving ??= setTimeout(saveNow, 250);
}
function saveNow(): void {
  clearTimeout(saving);
  saving = undefined;
  for (const [turn, { response }] of running) {
    const cursor = response?.cursor ?? null;
    if (cursor !== null) Object.assign(turn, { responseId: cursor.id, lastSequence: cursor.after, text: cursor.text });
  }
  remember(state);
}
addEventListener('pagehide', saveNow);

for (const turn of state.turns) {
  const shown = view.addTurn(turn);
  if (!turn.ended) begin(turn, shown);
}
sluice.connect().catch(() => undefined);

function send(question: string): void {
  const turn = newTurn(question);
  state.turns.push(turn);
  begin(turn, view.addTurn(turn));
}

/** Asks for a turn's answer, or goes on with it where it stands. */
function begin(turn: RememberedTurn, shown: TurnView): void {
  running.set(turn, { shown, response: null });
  view.running(true);
  save();
  ask(turn).then(
    (response) => follow(turn, shown, response),
    (error: unknown) => end(turn, shown, error as SluiceErrorShape),
  );
}

async function ask(turn: RememberedTurn): Promise<SluiceResponse> {
  if (turn.responseId !== null)
    return sluice.resume({ id: turn.responseId, after: turn.lastSequence, text: turn.text });
  await sluice.connect();
  const id = await currentConversation();
  return sluice.send(turn.question, { conversation: id, ...(turn.key === null ? {} : { idempotencyKey: turn.key }) });
}

/** One conversation for the page, made when it is first needed. */
function currentConversation(): Promise<string> {
  conversation ??= sluice.conversations.create().then(
    ({ id }) => {
      state.conversation = id;
      return id;
    },
    (error: unknown) => {
      conversation = null;
      throw error;
    },
  );
  return conversation;
}

function follow(turn: RememberedTurn, shown: TurnView, response: SluiceResponse): void {
  const run = running.get(turn);
  if (run === undefined) {
    response.cancel();
    return;
  }
  run.response = response;
  turn.key = response.idempotencyKey;
  const askedAt = performance.now();
  let firstDeltaMs: number | null = null;
  response.on('delta', (delta) => {
    if (turn.key !== null && turn.text === '') firstDeltaMs = performance.now() - askedAt;
    turn.text = response.text;
    shown.append(delta);
  });
  response.on('replace', (text) => {
    turn.text = text;
    shown.show(turn);
  });
  response.on('refusal', () => {
    turn.refusal = response.refusal;
    shown.show(turn);
  });
  response.on('event', (event) => {
    if (event.response) view.model(modelWords(event.response));
    save();
  });
  response.final.then(
    (ended) => {
      turn.note = endNote(ended);
      turn.numbers = numbersLine(ended, firstDeltaMs);
      view.model(modelWords(ended));
      end(turn, shown, null);
    },
    (error: SluiceErrorShape) => end(turn, shown, error),
  );
}

function end(turn: RememberedTurn, shown: TurnView, error: SluiceErrorShape | null): void {
  if (!running.has(turn)) return;
  if (error?.code === 'conversation_not_found' && state.conversation !== null) {
    // The server was restarted with its state in memory: what is shown stays, and it goes on without it.
    forgetConversation();
    turn.key = null;
    shown.note({ kind: 'info', words: 'The server no longer knows this conversation. A new one starts here.' });
    begin(turn, shown);
    return;
  }
  running.delete(turn);
  turn.ended = true;
  if (error !== null) turn.note = errorNote(error, turn.text !== '');
  shown.show(turn);
  view.running(running.size > 0);
  view.announce(turn.note?.words ?? `Answer: ${turn.text}`);
  saveNow();
}

function forgetConversation(): void {
  conversation = null;
  state.conversation = null;
}

function stop(): void {
  for (const [turn, { shown, response }] of [...running]) {
    if (response !== null) response.cancel();
    else end(turn, shown, new SluiceError('closed', 'cancelled', ''));
  }
}

function startOver(): void {
  stop();
  running.clear();
  forgetConversation();
  state.turns = [];
  view.clear();
  view.running(false);
  saveNow();
}

function useToken(token: string): void {
  state.token = token;
  saveNow();
  sluice.connect().catch(() => undefined);
}
