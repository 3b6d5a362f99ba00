/*
 * Pictures and files for requests, and a check of them that allows everything of the usual kinds.
 */

import { type InputKind } from '../../src/domain/media.js';
import { MediaCheck, type MediaPolicy } from '../../src/turn/media-check.js';

const MEDIA_POLICY: MediaPolicy = {
  allow: null,
  parts: 4,
  bytes: 100_000,
  pixels: 1_000_000,
  fileTypes: ['application/pdf', 'text/plain'],
  takes: (_model: string, kind: InputKind) => kind !== 'file_url',
  models: ['demo'],
};

export function mediaCheck(policy: Partial<MediaPolicy> = {}): MediaCheck {
  return new MediaCheck({ ...MEDIA_POLICY, ...policy });
}

/** A PNG of one pixel. */
export const PIXEL =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const PNG_HEAD = Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex');

/** The head of a PNG with this size, filled up to `bytes` bytes. */
export function pngOf(width: number, height: number, bytes = 64): string {
  const data = Buffer.alloc(Math.max(33, bytes));
  PNG_HEAD.copy(data);
  data.writeUInt32BE(width, 16);
  data.writeUInt32BE(height, 20);
  data.set([8, 6], 24);
  return `data:image/png;base64,${data.toString('base64')}`;
}

export const PDF = `data:application/pdf;base64,${Buffer.from('%PDF-1.7\nHello').toString('base64')}`;
