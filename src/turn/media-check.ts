/*
 * Checks the images and files of a request before anything is stored: whether the caller may send
 * them, whether the model takes them, and whether their content is what it claims to be. Decodes
 * the heads of data URLs only, and fetches no URL.
 */

import { SluiceError } from '../domain/errors.js';
import { type Item, type FunctionCallOutputItem, isMedia, type MessageItem } from '../domain/item.js';
import {
  addressOf,
  base64Bytes,
  base64Head,
  isTextType,
  type InputKind,
  kindOf,
  type MediaPart,
  parseDataUrl,
} from '../domain/media.js';
import { type Principal } from '../domain/principal.js';
import { pixelSize } from '../provider/media-tokens.js';
import { refuseParameter } from './instruction-rules.js';

export interface MediaPolicy {
  /** `clients.allow.images`. Null: only trusted callers may send images and files. */
  readonly allow: boolean | null;
  /** Most images and files of one request. */
  readonly parts: number;
  /** Most bytes of one, decoded. */
  readonly bytes: number;
  /** Most pixels of an image. */
  readonly pixels: number;
  /** Media types of files. */
  readonly fileTypes: readonly string[];
  /** Whether a model takes this kind of input. */
  readonly takes: (model: string, kind: InputKind) => boolean;
  /** All models that a request may use. */
  readonly models: readonly string[];
}

interface Found {
  readonly part: MediaPart;
  /** Path in the request: `input[0].content[1]`. */
  readonly path: string;
}

const IMAGE_TYPES: ReadonlySet<string> = new Set(['image/png', 'image/jpeg', 'image/gif', 'image/webp']);
/** First bytes from which the type of a content is recognized. */
const TYPE_HEAD_BYTES = 4_100;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/u;

export class MediaCheck {
  readonly #policy: MediaPolicy;

  constructor(policy: MediaPolicy) {
    this.#policy = policy;
  }

  /**
   * Checks the images and files of a list of items.
   * @param field name of the list in the request
   * @param options.model the model that will receive them. Absent: any of the configured ones
   * @param options.places the place of each item in the request, where it differs
   * @returns what the items contain beside text, or undefined if there is nothing else
   * @throws SluiceError `parameter_not_allowed`, `unsupported_content`, `invalid_value`
   */
  async check(
    caller: Principal,
    items: readonly Item[],
    field: 'input' | 'items',
    { model, places }: { readonly model?: string; readonly places?: readonly number[] } = {},
  ): Promise<ReadonlySet<InputKind> | undefined> {
    const found = items.flatMap((item, i) => mediaIn(item, `${field}[${places?.[i] ?? i}]`));
    const [first] = found;
    if (first === undefined) return undefined;
    if (!(this.#policy.allow ?? caller.trusted)) refuseParameter(first.path);
    const { parts } = this.#policy;
    if (found.length > parts) {
      throw invalid(
        field,
        `a request may contain ${parts} images and files, and this one has ${found.length}; send fewer`,
      );
    }
    const models = model === undefined ? this.#policy.models : [model];
    for (const one of found) {
      this.#refuseUntaken(one, models);
      await this.#checkContent(one);
    }
    return new Set(found.map(({ part }) => kindOf(part)));
  }

  #refuseUntaken({ part, path }: Found, models: readonly string[]): void {
    const kind = kindOf(part);
    if (models.some((model) => this.#policy.takes(model, kind))) return;
    const what = { text: 'text', image: 'images', file: 'files', file_url: 'files by URL' }[kind];
    const remedy = kind === 'file_url' ? 'send file_data' : 'choose another model or leave it out';
    throw new SluiceError('unsupported_content', `unable to use ${path}; the model takes no ${what}; ${remedy}`, {
      param: path,
    });
  }

  async #checkContent({ part, path }: Found): Promise<void> {
    const url = parseDataUrl(addressOf(part));
    if (url === undefined) return;
    const { bytes, fileTypes } = this.#policy;
    const { mediaType, base64 } = url;
    const size = base64Bytes(base64);
    if (size > bytes) throw invalid(path, `it has ${size} bytes and ${bytes} are allowed; send a smaller one`);
    const isServed = part.type === 'input_image' ? IMAGE_TYPES.has(mediaType) : fileTypes.includes(mediaType);
    if (!isServed) {
      const served = part.type === 'input_image' ? [...IMAGE_TYPES] : fileTypes;
      throw invalid(path, `its media type is not served; send one of ${served.join(', ')}`);
    }
    const head = base64.slice(0, Math.ceil(TYPE_HEAD_BYTES / 3) * 4);
    const isBase64 = head !== '' && BASE64.test(head) && BASE64.test(base64.slice(-4));
    if (!isBase64 || !(await agrees(mediaType, base64Head(base64, TYPE_HEAD_BYTES)))) {
      throw invalid(path, 'its content does not agree with its media type; name the type of the content');
    }
    if (part.type === 'input_image') this.#checkPixels(base64, path);
  }

  #checkPixels(base64: string, path: string): void {
    const size = pixelSize(base64);
    const { pixels } = this.#policy;
    if (size === undefined) throw invalid(path, 'its size in pixels cannot be read; send another image');
    if (size.width * size.height > pixels) {
      throw invalid(path, `it has ${size.width * size.height} pixels and ${pixels} are allowed; send a smaller one`);
    }
  }
}

/**
 * Whether a content has the declared type. A text has no type that can be recognized. Loads the
 * recognition at the first image or file.
 */
async function agrees(mediaType: string, head: Buffer): Promise<boolean> {
  const { fileTypeFromBuffer } = await import('file-type');
  const recognized = await fileTypeFromBuffer(head).catch(() => undefined);
  if (recognized !== undefined) return recognized.mime === mediaType;
  return isTextType(mediaType) && !head.includes(0);
}

function mediaIn(item: Item, path: string): Found[] {
  if (item.type === 'message') return partsIn(item.content, `${path}.content`);
  return item.type === 'function_call_output' && typeof item.output !== 'string'
    ? partsIn(item.output, `${path}.output`)
    : [];
}

function partsIn(
  parts: MessageItem['content'] | Exclude<FunctionCallOutputItem['output'], string>,
  path: string,
): Found[] {
  return parts.flatMap((part, i) => (isMedia(part) ? [{ part, path: `${path}[${i}]` }] : []));
}

function invalid(path: string, why: string): SluiceError {
  return new SluiceError('invalid_value', `unable to use ${path}; ${why}`, { param: path });
}
