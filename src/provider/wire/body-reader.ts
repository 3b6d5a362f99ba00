/** Reads a body. Calls come in order; `onEnd` or `onError` once, nothing after it. */
export interface BodyReader {
  onChunk(chunk: Buffer): void;
  onEnd(): void;
  onError(error: Error): void;
}
