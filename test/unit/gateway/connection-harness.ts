/* A connection over a fake socket, with a real turn service and state in memory behind it. */

import { Authenticator } from '../../../src/auth/authenticator.js';
import { SluiceError } from '../../../src/domain/errors.js';
import { type Principal } from '../../../src/domain/principal.js';
import { systemTime } from '../../../src/domain/time.js';
import { type ClientConnection, type Handshake } from '../../../src/gateway/connection.js';
import { type ConnectionParts } from '../../../src/gateway/connection-parts.js';
import { FrameDispatch } from '../../../src/gateway/dispatch.js';
import { FlushRound } from '../../../src/gateway/flush-round.js';
import { UnstoredRoom } from '../../../src/turn/unstored-responses.js';
import { FrameRounds } from '../../../src/gateway/frame-rounds.js';
import { type Following } from '../../../src/gateway/following/following.js';
import { type SocketSettings } from '../../../src/gateway/settings.js';
import { Provider, type ProviderPart } from '../../../src/provider/provider.js';
import { Conversations } from '../../../src/turn/conversations.js';
import { ALICE, type HarnessOptions, TurnHarness } from '../turn/turn-harness.js';
import { FakeSocket } from './fake-socket.js';
import { NO_AUDIT } from '../../../src/observability/audit.js';
import { mediaCheck } from '../../support/media.js';

export const SETTINGS: SocketSettings = {
  heartbeatIntervalMs: 20_000,
  heartbeatTimeoutMs: 10_000,
  maxMessageBytes: 1_048_576,
  maxResponsesInFlight: 2,
  maxOperationsInFlight: 8,
  maxLanes: 2,
  outboundBufferBytes: 65_536,
  slowReaderTimeoutMs: 200,
  maxConnectionAgeMs: null,
  maxConnections: null,
};

class TokenAuthenticator extends Authenticator {
  override async authenticate(token: string | undefined): Promise<Principal> {
    await Promise.resolve();
    if (token !== 'alice') throw new SluiceError('invalid_api_key', 'unable to authenticate; wrong key');
    return ALICE;
  }
}

/** Everything of one connection that a test looks at. */
export interface Connected {
  readonly frames: FrameDispatch;
  readonly connection: ClientConnection;
  readonly socket: FakeSocket;
}

export class ConnectionHarness extends TurnHarness {
  readonly parts: { -readonly [Name in keyof ConnectionParts]: ConnectionParts[Name] };
  readonly #open: FrameDispatch[] = [];

  constructor(options: HarnessOptions & { readonly settings?: Partial<SocketSettings> } = {}) {
    super(options);
    const { turns, reader, report, metrics, log, plain } = this;
    const time = options.time ?? systemTime;
    this.parts = {
      turns,
      reader,
      report,
      metrics,
      logger: log,
      authenticator: new TokenAuthenticator(),
      conversations: new Conversations({
        store: plain.conversations,
        claim: plain.claim,
        events: plain.events,
        allowInstructions: null,
        allowHistory: null,
        responses: plain.responses,
        maxItemBytes: 1_000_000,
        media: mediaCheck(),
      }),
      claim: plain.claim,
      announcements: plain.announcements,
      operations: { take: () => undefined },
      audit: NO_AUDIT,
      settings: { ...SETTINGS, ...options.settings },
      time,
      round: new FlushRound(time),
      rounds: new FrameRounds(time),
      unstored: new UnstoredRoom(),
      cpuMs: () => 0,
    };
  }

  connect(handshake: Partial<Handshake> = {}): Connected {
    const socket = new FakeSocket();
    const frames = new FrameDispatch(
      socket,
      { principal: ALICE, address: null, snapshots: false, resume: [], cancelOnDisconnect: false, ...handshake },
      this.parts,
    );
    socket.on('close', () => frames.end());
    this.#open.push(frames);
    return { frames, connection: frames.connection, socket };
  }

  /** Follows a response on a connection from its start, as one that it created. */
  async follow({ connection }: Connected, responseId: string, after = -1, streamId?: string): Promise<Following> {
    const viewer = await this.reader.open(ALICE, responseId, after, connection.outbound.wake);
    return connection.outbound.follow(responseId, viewer, streamId);
  }

  override async close(): Promise<void> {
    for (const frames of this.#open) frames.end();
    await this.turns.abortAll(new SluiceError('replica_lost', 'unable to continue; the test is over'));
    await super.close();
  }
}

/** Sends this many deltas, each as its own event, and then ends or stays silent. */
export class Talker extends Provider {
  readonly #deltas: number;
  readonly #ends: boolean;

  constructor(deltas: number, ends: boolean) {
    super();
    this.#deltas = deltas;
    this.#ends = ends;
  }

  override async *stream(_request: unknown, signal: AbortSignal): AsyncGenerator<ProviderPart> {
    yield { type: 'start', provider: 'talker', model: 'model-a' };
    for (let said = 0; said < this.#deltas; said++) {
      yield { type: 'text', text: `${said} ` };
      // Deltas are joined within a tick.
      await new Promise(setImmediate);
    }
    if (!this.#ends) {
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
    }
    yield { type: 'finish', reason: 'stop' };
  }
}

/** Sends a frame as a client would. */
export function tell({ frames }: Pick<Connected, 'frames'>, event: Readonly<Record<string, unknown>>): void {
  frames.intake.receive(JSON.stringify(event));
}

/** Waits, a tick at a time, until something is so. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 60_000; !(await holds());) {
    if (Date.now() > deadline) throw new Error(`unable to continue; this never became true: ${holds.toString()}`);
    await new Promise(setImmediate);
  }
}
