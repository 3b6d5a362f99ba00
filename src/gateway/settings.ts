/* Settings of sockets, with units. */

export interface SocketSettings {
  readonly heartbeatIntervalMs: number;
  readonly heartbeatTimeoutMs: number;
  readonly maxMessageBytes: number;
  /** Responses created on one connection and not ended, waiting ones included. */
  readonly maxResponsesInFlight: number;
  /** Cancels, resumes and subscriptions of one connection in progress; past it nothing more is read from the socket. */
  readonly maxOperationsInFlight: number;
  readonly maxLanes: number;
  /** Most bytes that wait in one socket; past it, its cursors wait. */
  readonly outboundBufferBytes: number;
  /** A socket that takes nothing for this long is closed with 1013. */
  readonly slowReaderTimeoutMs: number;
  /** Null: no limit. */
  readonly maxConnectionAgeMs: number | null;
  /** Open sockets of this replica; null: no limit. */
  readonly maxConnections: number | null;
  readonly maxConnectionsPerUser: number | null;
}
