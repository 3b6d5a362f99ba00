/* The close codes of a socket: who hears which, when, and what the official client then does. */

export const CLOSE_CODES = {
  /** Either side asked. The official client stops. */
  normal: 1000,
  /** The process is going away without a drain. Reconnects. */
  goingAway: 1001,
  /** A binary frame. Stops. */
  binary: 1003,
  /** A text frame that is not UTF-8. Stops. */
  badUtf8: 1007,
  /** The credential was revoked, or the connection abused. Stops. */
  policy: 1008,
  /** A frame over the limit. Stops. */
  tooBig: 1009,
  /** A bug of ours. Reconnects. */
  internalError: 1011,
  /** Drain, greatest age, credential expired. Reconnects. */
  serviceRestart: 1012,
  /** Slow consumer, overload, state store away for long. Reconnects. */
  tryAgainLater: 1013,
} as const;

export type CloseCode = (typeof CLOSE_CODES)[keyof typeof CLOSE_CODES];
