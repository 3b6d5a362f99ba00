/*
 * The images and files of a request, in the forms of both APIs. Checks their form only: whether
 * the content is what it claims to be is a decision of the turn's admission.
 */

import { z } from 'zod';

import { type InputFilePart, type InputImagePart, parseDataUrl } from '../domain/media.js';
import { inert, present } from './schema-tools.js';

/** Most characters of an https URL. */
const LONGEST_URL = 8_192;
const NO_STORED_FILES = 'Sluice stores no files; send the content or a URL';

function isWebUrl(value: string): boolean {
  if (!value.startsWith('https://') || value.length > LONGEST_URL) return false;
  const url = URL.parse(value);
  return url !== null && url.username === '' && url.password === '';
}

const WEB_URL = z.string().refine(isWebUrl, {
  message: `must be an https URL of at most ${LONGEST_URL} characters, without a password`,
});
const IMAGE_URL = z.string().refine((value) => isWebUrl(value) || parseDataUrl(value) !== undefined, {
  message: `must be an https URL of at most ${LONGEST_URL} characters, or a data URL in base64`,
});
const FILE_DATA = z.string().refine((value) => parseDataUrl(value) !== undefined, {
  message: "must be a data URL in base64, such as 'data:application/pdf;base64,...'",
});
const FILE_NAME = z
  .string()
  .min(1)
  .max(255)
  .regex(/^[^\p{Cc}/\\]+$/u, 'must be a name without slashes and control characters');
const DETAIL = z.enum(['low', 'high', 'auto', 'original']).optional();
const fileId = inert(z.never(), NO_STORED_FILES);
const cacheHint = inert(z.unknown(), 'it is a hint for a cache');

export const INPUT_IMAGE = z.strictObject({
  type: z.literal('input_image'),
  image_url: IMAGE_URL,
  detail: DETAIL,
  file_id: fileId,
  prompt_cache_breakpoint: cacheHint,
});
export const INPUT_FILE = z
  .strictObject({
    type: z.literal('input_file'),
    filename: FILE_NAME.optional(),
    file_data: FILE_DATA.optional(),
    file_url: WEB_URL.optional(),
    file_id: fileId,
    // A hint: no provider here takes it.
    detail: z.enum(['low', 'high', 'auto']).optional(),
    prompt_cache_breakpoint: cacheHint,
  })
  .superRefine(fileIsWhole);

export function imageOf({ image_url, detail }: z.output<typeof INPUT_IMAGE>): InputImagePart {
  return { type: 'input_image', image_url, detail: detail ?? 'auto' };
}

export function fileOf({ filename, file_data, file_url }: z.output<typeof INPUT_FILE>): InputFilePart {
  return { type: 'input_file', ...present({ filename, file_data, file_url }) };
}

/** An image as chat completions have it. */
export const CHAT_IMAGE = z.strictObject({
  type: z.literal('image_url'),
  image_url: z.strictObject({ url: IMAGE_URL, detail: DETAIL }),
  prompt_cache_breakpoint: cacheHint,
});
/** A file as chat completions have it. */
export const CHAT_FILE = z.strictObject({
  type: z.literal('file'),
  file: z.strictObject({ file_data: FILE_DATA, filename: FILE_NAME, file_id: fileId }),
  prompt_cache_breakpoint: cacheHint,
});

/** Checks the fields of a file together. */
function fileIsWhole(
  part: { readonly file_data?: unknown; readonly file_url?: unknown; readonly filename?: unknown },
  context: z.core.$RefinementCtx,
): void {
  const refuse = (field: string, message: string): void =>
    context.addIssue({ code: 'custom', path: [field], message, input: part });
  if (part.file_data !== undefined && part.file_url !== undefined) refuse('file_url', 'excludes file_data; send one');
  else if (part.file_data === undefined && part.file_url === undefined) refuse('file_data', 'is missing');
  else if (part.file_data !== undefined && part.filename === undefined) refuse('filename', 'is missing');
}
