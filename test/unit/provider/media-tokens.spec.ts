import { describe, expect, it } from '@jest/globals';
import { type ImageDetail } from '../../../src/domain/media.js';
import { mediaTokens, pixelSize } from '../../../src/provider/media-tokens.js';
import { pngOf } from '../../support/media.js';

const image = (image_url: string, detail: ImageDetail = 'auto') =>
  ({ type: 'input_image', image_url, detail }) as const;
const file = (mediaType: string, bytes: number) =>
  ({
    type: 'input_file',
    filename: 'a',
    file_data: `data:${mediaType};base64,${Buffer.alloc(bytes).toString('base64')}`,
  }) as const;

describe('the tokens of an image', () => {
  it.each([
    [pngOf(1, 1), 'auto', 85 + 170],
    [pngOf(1_024, 1_024), 'high', 85 + 4 * 170],
    [pngOf(2_048, 4_096), 'high', 85 + 6 * 170],
    [pngOf(10_000, 100), 'auto', 85 + 4 * 170],
    [pngOf(4_096, 4_096), 'low', 85],
    ['https://a.invalid/b.png', 'auto', 85 + 8 * 170],
    ['data:image/png;base64,AAAA', 'auto', 85 + 8 * 170],
  ] as const)('follow from its tiles [MEDIA-7]', (url, detail, tokens) => {
    expect(mediaTokens(image(url, detail))).toBe(tokens);
  });

  it('counts the tokens of a JPEG whose size follows long metadata', () => {
    const metadata = Buffer.alloc(65_535 + 2);
    metadata.set([0xff, 0xe1, 0xff, 0xff]);
    const size = Buffer.from('ffc0001108012c0190030122000211010311 01ffd9'.replaceAll(' ', ''), 'hex');
    const jpeg = Buffer.concat([Buffer.from('ffd8', 'hex'), metadata, metadata, size]);
    expect(pixelSize(jpeg.toString('base64'))).toEqual({ width: 400, height: 300 });
  });
});

describe('the tokens of a file', () => {
  it.each([
    [file('text/plain', 4_000), 1_000],
    [file('application/yaml', 4_000), 1_000],
    [file('application/pdf', 50_000), 1_000],
    [{ type: 'input_file', file_url: 'https://a.invalid/b' } as const, 5_000],
  ])('counts the tokens of a file by its bytes [MEDIA-7]', (part, tokens) => {
    expect(mediaTokens(part)).toBe(tokens);
  });
});
