/*
 * The playground: a chat page on the browser client, with a view of the protocol. The address names
 * the conversation, so a reload, the back button and a second tab find it with its running answers.
 */

import { createClient, type List } from '../src/client.js';
import { History } from './conversations.js';
import { element } from './dom.js';
import { Inspector } from './inspector.js';
import { Memory, type PendingQuestion } from './memory.js';
import { Room, type RoomOwner } from './room.js';
import { type Prompt, SetupView } from './setup.js';
import { SignIn } from './sign-in.js';
import { newTurn, type TurnView } from './turn-view.js';
import { View } from './view.js';
import { connectionWords, errorNote } from './words.js';

const memory = new Memory();
const signIn = new SignIn(memory, { signedIn, signedOut, announce: (words) => view.announcer.announce(words) });
const sluice = createClient({ token: signIn.token });
const inspector = new Inspector();
const setup = new SetupView();
const view = new View({ send: (text, pictures) => send(questionOf(text, pictures)), stop, startOver });
const history = new History(sluice, {
  open: (id) => {
    view.closePanes();
    location.hash = id;
  },
  removed: (id) => {
    if (id === room?.id) startOver();
  },
});
// Not narrowed to null: functions below fill it.
let room = null as Room | null;
/** The conversation that is being created for the first question. */
let making: Promise<string> | null = null;
/** Questions that wait for it. Cleared when the page leaves it. */
let waiting = new Set<TurnView>();

const owner: RoomOwner = {
  changed: () => history.refresh(),
  gone: (pending) => {
    // The server was restarted without its state, or another page deleted the conversation. The
    // shown messages stay, and new questions go to a new conversation.
    if (room !== null) {
      room = null;
      history.current = null;
      replaceAddress('');
      view.announcer.announce('The server no longer knows this conversation. The next question starts a new one.');
    }
    if (pending === null) return;
    pending.shown.turn.note = {
      kind: 'info',
      words: 'The server no longer knows this conversation. A new one starts here.',
    };
    pending.shown.draw();
    forget(pending.question);
    send({ ...pending.question, conversation: '', key: newKey() }, pending.shown);
  },
};

sluice.on('frame', (frame) => {
  inspector.frame(frame);
  signIn.onFrame(frame);
});
sluice.on('error', (error) => signIn.onError(error));
sluice.on('state', (change) => {
  view.connection(change.state, connectionWords(change, sluice.transport));
  signIn.onState(change);
  if (change.state === 'open') void offer();
});
addEventListener('hashchange', () => enter(conversationInAddress()));

enter(conversationInAddress());
sluice.connect().catch(() => undefined);
for (const question of memory.pending) {
  if (question.conversation === (room?.id ?? '')) send(question);
}

/**
 * Loads the lists of conversations and prompts when there is a connection, and so a valid
 * credential.
 */
async function offer(): Promise<void> {
  history.refresh();
  if (element('setup').hidden) {
    const prompts = await sluice.request<List<Prompt>>('GET', '/v1/prompts').catch(() => null);
    if (prompts !== null) setup.show(prompts.data);
  }
}

/**
 * Returns the conversation that the address names, or null. The id becomes part of paths, and
 * any page can link to this one, so other forms count as none.
 */
function conversationInAddress(): string | null {
  return /^#(conv_[\w-]+)$/u.exec(location.hash)?.[1] ?? null;
}

/** Opens a conversation, or an empty page. */
function enter(id: string | null): void {
  if (id !== null && id === room?.id) return;
  leave();
  view.clear();
  if (id !== null) room = new Room(id, { sluice, view, memory, owner });
  history.current = id;
}

function leave(): void {
  room?.close();
  room = null;
  making = null;
  waiting = new Set();
  view.running(false);
}

function questionOf(question: string, pictures: readonly string[]): PendingQuestion {
  return { conversation: room?.id ?? '', question, pictures, key: newKey(), prompt: setup.choice };
}

function send(
  question: PendingQuestion,
  shown = view.addTurn(newTurn(question.question, { pictures: question.pictures ?? [] })),
): void {
  shown.scrollTo();
  if (room !== null) {
    room.send(question, shown);
    return;
  }
  memory.pending = [...memory.pending.filter(({ key }) => key !== question.key), question];
  view.running(true);
  const mine = waiting;
  mine.add(shown);
  makeConversation().then(
    (id) => {
      if (!mine.delete(shown)) return;
      room ??= new Room(id, { sluice, view, memory, owner });
      room.send({ ...question, conversation: id }, shown);
    },
    (error: unknown) => {
      forget(question);
      if (!mine.delete(shown)) return;
      // The client rejects with nothing else.
      shown.turn.note = errorNote(error as Parameters<typeof errorNote>[0], false);
      shown.turn.ended = true;
      shown.draw();
      view.running(mine.size > 0);
    },
  );
}

function forget({ key }: PendingQuestion): void {
  memory.pending = memory.pending.filter((pending) => pending.key !== key);
}

/** Creates one conversation for all questions that wait for one. */
function makeConversation(): Promise<string> {
  making ??= sluice
    .connect()
    .then(() => sluice.conversations.create())
    .then(
      ({ id }) => {
        making = null;
        history.current = id;
        replaceAddress(`#${id}`);
        return id;
      },
      (error: unknown) => {
        making = null;
        throw error;
      },
    );
  return making;
}

/** Sets the address without a `hashchange` event: the page is already shown. */
function replaceAddress(hash: string): void {
  window.history.pushState(null, '', location.pathname + location.search + hash);
}

function stop(): void {
  room?.stop();
  for (const shown of waiting) {
    shown.turn.note = { kind: 'info', words: 'Stopped before it was sent.' };
    shown.turn.ended = true;
    shown.draw();
  }
  if (waiting.size > 0) {
    memory.pending = memory.pending.filter(({ conversation }) => conversation !== '');
    waiting.clear();
    view.running(false);
  }
}

function startOver(): void {
  if (location.hash !== '') replaceAddress('');
  enter(null);
}

/** Connects again with the credential that was just given. */
function signedIn(): void {
  const id = room?.id ?? conversationInAddress();
  leave();
  sluice.close();
  enter(id);
  sluice.connect().catch(() => undefined);
  view.focusMessage();
}

/** Removes what the last credential has shown, and connects without one. */
function signedOut(): void {
  startOver();
  sluice.close();
  history.clear();
  inspector.clear();
  sluice.connect().catch(() => undefined);
}

/** Works on plain http too, where `crypto.randomUUID` is missing. */
function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
