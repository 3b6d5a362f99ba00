/* Time as the stores see it, so that tests can move it. */

/** Unix milliseconds. */
export type Clock = () => number;

export const systemClock: Clock = () => Date.now();
