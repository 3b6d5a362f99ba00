/*
 * Estimates the input tokens of images and files, for limits, costs, and calls whose provider
 * reports no usage. Images count as OpenAI documents it for its GPT-4o models: by tiles of 512
 * pixels. PROTOCOL.md (MEDIA-7) documents the same numbers.
 */

import { imageSize } from 'image-size';
import { type Item, mediaOf } from '../domain/item.js';
import {
  base64Bytes,
  base64Head,
  type InputImagePart,
  isTextType,
  type MediaPart,
  parseDataUrl,
} from '../domain/media.js';

const TOKENS_PER_IMAGE = 85;
const TOKENS_PER_TILE = 170;
const TILE_PIXELS = 512;
const LONGEST_SIDE = 2_048;
const SHORTEST_SIDE = 768;
/** Tiles of the largest image after scaling. Used if the size is unknown. */
const MOST_TILES = 8;
/** The text of a file counts like other text. */
const BYTES_PER_TOKEN_OF_TEXT = 4;
/** A page of a PDF has about 1,000 tokens and 50 KB. */
const BYTES_PER_TOKEN_OF_OTHERS = 50;
/** Tokens of a file of which only the URL is known, so its size is not. */
const TOKENS_PER_FILE_URL = 5_000;

/** First bytes of an image, in which every type but JPEG has its size. */
const HEAD_BYTES = 4_096;
/** First bytes of a JPEG: its size follows its metadata. */
const JPEG_HEAD_BYTES = 1_048_576;

export interface PixelSize {
  readonly width: number;
  readonly height: number;
}

/** Reads the size of an image from its head. @returns undefined if the head does not contain it */
export function pixelSize(base64: string): PixelSize | undefined {
  const head = base64Head(base64, HEAD_BYTES);
  if (head.length < 2) return undefined;
  if (head.readUInt16BE(0) === JPEG_START) return jpegSize(base64Head(base64, JPEG_HEAD_BYTES));
  try {
    const { width, height } = imageSize(head);
    return width > 0 && height > 0 ? { width, height } : undefined;
  } catch {
    return undefined;
  }
}

const JPEG_START = 0xff_d8;

/**
 * Reads the size of a JPEG from its frame header, segment by segment. `image-size` searches a
 * corrupt JPEG byte by byte, which takes 0.4 s of CPU for 1 MiB.
 */
function jpegSize(head: Buffer): PixelSize | undefined {
  for (let at = 2; at + 9 <= head.length;) {
    const marker = head.readUInt16BE(at);
    if (marker < 0xff_01) return undefined;
    if (isFrame(marker)) {
      const [height, width] = [head.readUInt16BE(at + 5), head.readUInt16BE(at + 7)];
      return width > 0 && height > 0 ? { width, height } : undefined;
    }
    // Fill bytes may precede a marker.
    at += marker === 0xff_ff ? 1 : 2 + Math.max(2, head.readUInt16BE(at + 2));
  }
  return undefined;
}

/** Whether a marker begins a frame: SOF0 to SOF15, among which DHT, JPG and DAC are none. */
function isFrame(marker: number): boolean {
  return marker >= 0xff_c0 && marker <= 0xff_cf && ![0xff_c4, 0xff_c8, 0xff_cc].includes(marker);
}

/** Estimates are remembered as long as the part lives: limits, costs and usage request them. */
const known = new WeakMap<MediaPart, number>();

/** Estimates the tokens of the images and files of `items`. */
export function itemsMediaTokens(items: readonly Item[]): number {
  let tokens = 0;
  for (const item of items) for (const part of mediaOf(item)) tokens += mediaTokens(part);
  return tokens;
}

/** Estimates the tokens of one image or file. */
export function mediaTokens(part: MediaPart): number {
  const estimated = known.get(part) ?? (part.type === 'input_image' ? imageTokens(part) : fileTokens(part.file_data));
  known.set(part, estimated);
  return estimated;
}

function imageTokens({ image_url, detail }: InputImagePart): number {
  if (detail === 'low') return TOKENS_PER_IMAGE;
  const data = parseDataUrl(image_url);
  const size = data === undefined ? undefined : pixelSize(data.base64);
  return TOKENS_PER_IMAGE + TOKENS_PER_TILE * (size === undefined ? MOST_TILES : tilesOf(size));
}

function tilesOf({ width, height }: PixelSize): number {
  const fit = Math.min(1, LONGEST_SIDE / Math.max(width, height));
  const scale = fit * Math.min(1, SHORTEST_SIDE / (Math.min(width, height) * fit));
  return Math.ceil((width * scale) / TILE_PIXELS) * Math.ceil((height * scale) / TILE_PIXELS);
}

function fileTokens(data: string | undefined): number {
  if (data === undefined) return TOKENS_PER_FILE_URL;
  const url = parseDataUrl(data);
  if (url === undefined) return TOKENS_PER_FILE_URL;
  const bytesPerToken = isTextType(url.mediaType) ? BYTES_PER_TOKEN_OF_TEXT : BYTES_PER_TOKEN_OF_OTHERS;
  return Math.ceil(base64Bytes(url.base64) / bytesPerToken);
}
