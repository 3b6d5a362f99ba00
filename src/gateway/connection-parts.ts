/* The parts that connections use. A class, so that Nest can inject it. */

import { type Authenticator } from '../auth/authenticator.js';
import { type Time } from '../domain/time.js';
import { type Audit } from '../observability/audit.js';
import { type Log } from '../observability/log.js';
import { type Metrics } from '../observability/metrics.js';
import { type ConversationAnnouncements } from '../state/conversation-announcements.js';
import { type ConversationClaim } from '../state/conversation-claim.js';
import { type Conversations } from '../turn/conversations.js';
import { type OperationLimits } from '../turn/operation-limits.js';
import { type ResponseReader } from '../turn/response-reader.js';
import { type TurnReport } from '../turn/turn-report.js';
import { type TurnService } from '../turn/turn.service.js';
import { type UnstoredRoom } from '../turn/unstored-responses.js';
import { type FlushRound } from './flush-round.js';
import { type FrameRounds } from './frame-rounds.js';
import { type SocketSettings } from './settings.js';

export abstract class ConnectionParts {
  abstract readonly turns: Pick<TurnService, 'create' | 'cancel'>;
  abstract readonly reader: ResponseReader;
  abstract readonly conversations: Pick<Conversations, 'get'>;
  abstract readonly claim: Pick<ConversationClaim, 'members'>;
  abstract readonly announcements: Pick<ConversationAnnouncements, 'watch'>;
  abstract readonly report: Pick<TurnReport, 'refused'>;
  abstract readonly authenticator: Authenticator;
  abstract readonly operations: Pick<OperationLimits, 'take'>;
  abstract readonly audit: Audit;
  abstract readonly settings: SocketSettings;
  abstract readonly metrics: Metrics;
  abstract readonly logger: Log;
  abstract readonly time: Time;
  /** Shared by all connections. */
  abstract readonly round: FlushRound;
  /** Shared by all connections. */
  abstract readonly rounds: FrameRounds;
  /** Shared by all connections. */
  abstract readonly unstored: UnstoredRoom;
  /** CPU time of this thread so far, in milliseconds. A simulation returns a constant. */
  abstract readonly cpuMs: () => number;
}
