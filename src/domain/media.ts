/*
 * Images and files that a client sends beside its text, in wire shape. Their content is a URL or a
 * data URL, which Sluice passes on and never fetches.
 */

export type ImageDetail = 'low' | 'high' | 'auto' | 'original';

export interface InputImagePart {
  readonly type: 'input_image';
  /** An https URL or a data URL. */
  readonly image_url: string;
  readonly detail: ImageDetail;
}
export interface InputFilePart {
  readonly type: 'input_file';
  readonly filename?: string;
  /** A data URL. */
  readonly file_data?: string;
  /** An https URL. */
  readonly file_url?: string;
}
export type MediaPart = InputImagePart | InputFilePart;

/** What a model takes, or what a request contains. `file_url`: a file by its URL. */
export type InputKind = 'text' | 'image' | 'file' | 'file_url';
export const INPUT_KINDS = ['text', 'image', 'file', 'file_url'] as const satisfies readonly InputKind[];

/** Returns the kind of an image or file. */
export function kindOf(part: MediaPart): InputKind {
  if (part.type === 'input_image') return 'image';
  return part.file_data === undefined ? 'file_url' : 'file';
}

/** Returns the URL or data URL of an image or file. */
export function addressOf(part: MediaPart): string {
  return part.type === 'input_image' ? part.image_url : (part.file_data ?? part.file_url ?? '');
}

/** A data URL, split where its content begins. */
export interface DataUrl {
  /** The declared media type, in lower case. */
  readonly mediaType: string;
  /** The content in base64. */
  readonly base64: string;
}

const DATA_URL_HEAD = /^data:([a-z0-9][\w.+-]*\/[a-z0-9][\w.+-]*)(?:;[\w.+-]+=[^;,]*)*;base64$/iu;
/** Most characters before the content of a data URL. */
const LONGEST_HEAD = 256;

/** Splits a data URL in base64. @returns undefined if `url` is not one */
export function parseDataUrl(url: string): DataUrl | undefined {
  const comma = url.slice(0, LONGEST_HEAD).indexOf(',');
  const mediaType = comma < 0 ? undefined : DATA_URL_HEAD.exec(url.slice(0, comma))?.[1];
  return mediaType === undefined ? undefined : { mediaType: mediaType.toLowerCase(), base64: url.slice(comma + 1) };
}

/** Whether a media type is one of text: plain, JSON, XML, YAML, source code. */
export function isTextType(mediaType: string): boolean {
  return (
    mediaType.startsWith('text/') || /^application\/(?:.*[+.-])?(?:json|xml|yaml|javascript|sql)$/u.test(mediaType)
  );
}

/** Returns the number of bytes that a base64 text encodes. */
export function base64Bytes(base64: string): number {
  const padding = base64.endsWith('==') ? 2 : base64.endsWith('=') ? 1 : 0;
  return Math.floor((base64.length * 3) / 4) - padding;
}

/** Decodes the first `bytes` bytes of a base64 text. */
export function base64Head(base64: string, bytes: number): Buffer {
  return Buffer.from(base64.slice(0, Math.ceil(bytes / 3) * 4), 'base64');
}
