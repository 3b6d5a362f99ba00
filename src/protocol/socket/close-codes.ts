/*
 * The close codes that the gateway sends: when, and whether the official client then stops or
 * reconnects.
 */

export const CLOSE_CODES = {
  /** Requested by either side. The official client stops. */
  normal: 1000,
  /** A binary frame. Stops. */
  binary: 1003,
  /** A text frame that is not UTF-8. Stops. */
  badUtf8: 1007,
  /** The credential was revoked, or the client abused the connection. Stops. */
  policy: 1008,
  /** A frame exceeds the size limit. Stops. */
  tooBig: 1009,
  /** Drain, maximum age reached, or credential expired. Reconnects. */
  serviceRestart: 1012,
  /** Slow reader, overload, or long outage of the state store. Reconnects. */
  tryAgainLater: 1013,
} as const;

export type CloseCode = (typeof CLOSE_CODES)[keyof typeof CLOSE_CODES];
