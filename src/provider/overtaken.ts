/* The reason of an abort: another provider of the same call answered first. */

export class Overtaken extends Error {
  /**
   * @param silent whether the aborted provider was silent for `failover.after` before the other
   * provider was called
   */
  constructor(readonly silent: boolean) {
    super('another provider answered first');
  }
}
