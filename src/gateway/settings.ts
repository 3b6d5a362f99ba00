/* Settings of sockets, with units. */

export interface SocketSettings {
  readonly heartbeatIntervalMs: number;
  readonly heartbeatTimeoutMs: number;
  readonly maxMessageBytes: number;
  /** Most responses created on one connection that have not ended, queued ones included. */
  readonly maxResponsesInFlight: number;
  /**
   * Most cancels, resumes and subscriptions of one connection in progress. At the limit, reading
   * from the socket is paused.
   */
  readonly maxOperationsInFlight: number;
  readonly maxLanes: number;
  /** Most bytes buffered in one socket. At the limit, its cursors wait. */
  readonly outboundBufferBytes: number;
  /** Milliseconds without progress after which a socket is closed with 1013. */
  readonly slowReaderTimeoutMs: number;
  /** Null: no limit. */
  readonly maxConnectionAgeMs: number | null;
  /** Most open sockets of this replica; null means no limit. */
  readonly maxConnections: number | null;
}
