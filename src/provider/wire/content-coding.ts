/*
 * Decodes bodies that a server compressed without a request to do so, chunk by chunk or as a whole.
 */

import {
  brotliDecompressSync,
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createZstdDecompress,
  gunzipSync,
  inflateSync,
  zstdDecompressSync,
} from 'node:zlib';
import { type Transform } from 'node:stream';

interface Coding {
  readonly stream: () => Transform;
  readonly whole: (bytes: Buffer) => Buffer;
}

const GZIP: Coding = {
  // Decode each chunk at once, so that text does not wait for the end of a block.
  stream: () => createGunzip({ flush: constants.Z_SYNC_FLUSH }),
  whole: (bytes) => gunzipSync(bytes),
};
const CODINGS: Readonly<Record<string, Coding>> = {
  gzip: GZIP,
  'x-gzip': GZIP,
  deflate: {
    stream: () => createInflate({ flush: constants.Z_SYNC_FLUSH }),
    whole: (bytes) => inflateSync(bytes),
  },
  br: {
    stream: () => createBrotliDecompress({ flush: constants.BROTLI_OPERATION_FLUSH }),
    whole: (bytes) => brotliDecompressSync(bytes),
  },
  zstd: { stream: () => createZstdDecompress(), whole: (bytes) => zstdDecompressSync(bytes) },
};
/** Values of `Content-Encoding` for a body that is not compressed. */
const PLAIN: ReadonlySet<string> = new Set([
  '',
  'identity',
  'none',
  'utf-8',
  'utf8',
  'binary',
  'chunked',
  'aws-chunked',
]);
const GZIP_MAGIC = [0x1f, 0x8b] as const;

/** Returns the compressing codings of a header that may list several. */
function codingsOf(encoding: string): string[] {
  const names = encoding.split(',').map((name) => name.trim().toLowerCase());
  return names.filter((name) => !PLAIN.has(name));
}

/** Whether a body with this `Content-Encoding` can be read. */
export function canDecode(encoding: string): boolean {
  const names = codingsOf(encoding);
  return names.length <= 1 && names.every((name) => Object.hasOwn(CODINGS, name));
}

/** Returns the coding of a body. Gzip is detected by its first bytes, whatever the header says. */
function codingOf(encoding: string, first: Buffer): Coding | undefined {
  const [name = ''] = codingsOf(encoding);
  const isGzip = first[0] === GZIP_MAGIC[0] && (first.length < 2 || first[1] === GZIP_MAGIC[1]);
  const named = CODINGS[name];
  return named === GZIP || named === undefined ? (isGzip ? GZIP : undefined) : named;
}

/** Creates a reader of encoded bytes that passes the decoded ones to `reader`. */
export function decoding(reader: BodyReader, encoding: string): BodyReader {
  return new DecodingReader(reader, encoding);
}

/** Decides by the first bytes. Passes an uncompressed body on unchanged. */
class DecodingReader implements BodyReader {
  readonly #reader: BodyReader;
  readonly #encoding: string;
  #decoder: Transform | undefined;
  #plain = false;

  constructor(reader: BodyReader, encoding: string) {
    this.#reader = reader;
    this.#encoding = encoding;
  }

  onChunk(chunk: Buffer): void {
    if (this.#plain) return this.#reader.onChunk(chunk);
    this.#decoder ??= this.#decoderFor(chunk);
    if (this.#decoder === undefined) {
      this.#plain = true;
      return this.#reader.onChunk(chunk);
    }
    // Copy: the socket's buffer is reused before the decoder has read it.
    this.#decoder.write(Buffer.from(chunk));
  }

  onEnd(): void {
    if (this.#decoder === undefined) this.#reader.onEnd();
    else this.#decoder.end();
  }

  onError(error: Error): void {
    if (this.#decoder === undefined) this.#reader.onError(error);
    else this.#decoder.destroy(error);
  }

  #decoderFor(first: Buffer): Transform | undefined {
    const decoder = codingOf(this.#encoding, first)?.stream();
    decoder?.on('data', (chunk: Buffer) => this.#reader.onChunk(chunk));
    decoder?.once('end', () => this.#reader.onEnd());
    decoder?.once('error', (error) => this.#reader.onError(error));
    return decoder;
  }
}

/** Returns the decoded body; empty if it cannot be decoded. */
export function decodeWhole(bytes: Buffer, encoding: string): Buffer {
  try {
    return codingOf(encoding, bytes)?.whole(bytes) ?? bytes;
  } catch {
    return Buffer.alloc(0);
  }
}

/** Reads a body. Calls come in order; `onEnd` or `onError` once, nothing after it. */
export interface BodyReader {
  onChunk(chunk: Buffer): void;
  onEnd(): void;
  onError(error: Error): void;
}
