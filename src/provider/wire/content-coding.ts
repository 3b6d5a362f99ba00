/* Decodes bodies that a server compressed although none was asked to: as they come, or at once. */

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
import { type BodyReader } from './body-reader.js';

interface Coding {
  readonly stream: () => Transform;
  readonly whole: (bytes: Buffer) => Buffer;
}

const GZIP: Coding = {
  // What has come is decoded at once, so that text does not wait for the end of a block.
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
const PLAIN: ReadonlySet<string> = new Set(['', 'identity', 'none']);

/** Whether a body with this `Content-Encoding` can be read. */
export function canDecode(encoding: string): boolean {
  const name = encoding.trim().toLowerCase();
  return PLAIN.has(name) || Object.hasOwn(CODINGS, name);
}

/** A reader of the encoded bytes that gives the decoded ones to `reader`. */
export function decoding(reader: BodyReader, encoding: string): BodyReader {
  const coding = CODINGS[encoding.trim().toLowerCase()];
  if (coding === undefined) return reader;
  const decoder = coding.stream();
  decoder.on('data', (chunk: Buffer) => reader.onChunk(chunk));
  decoder.once('end', () => reader.onEnd());
  decoder.once('error', (error) => reader.onError(error));
  return {
    // A copy: the socket's buffer is used again before the decoder has read it.
    onChunk: (chunk) => void decoder.write(Buffer.from(chunk)),
    onEnd: () => decoder.end(),
    onError: (error) => decoder.destroy(error),
  };
}

/** The decoded body; empty if it cannot be decoded. */
export function decodeWhole(bytes: Buffer, encoding: string): Buffer {
  try {
    return CODINGS[encoding.trim().toLowerCase()]?.whole(bytes) ?? bytes;
  } catch {
    return Buffer.alloc(0);
  }
}
