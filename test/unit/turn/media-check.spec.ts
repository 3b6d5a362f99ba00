import { describe, expect, it } from '@jest/globals';
import { type Item } from '../../../src/domain/item.js';
import { type MediaPart } from '../../../src/domain/media.js';
import { requestBytes } from '../../../src/turn/item-size.js';
import { expectedUse } from '../../../src/turn/expected-use.js';
import { cpuBudgetMs } from '../../support/cost.js';
import { mediaCheck, PDF, PIXEL, pngOf } from '../../support/media.js';
import { ALICE, requestOf } from './turn-harness.js';

const message = (...content: readonly MediaPart[]): Item => ({
  type: 'message',
  id: 'm',
  role: 'user',
  status: 'completed',
  content,
});
const image = (image_url = PIXEL): MediaPart => ({ type: 'input_image', image_url, detail: 'auto' });
const file = (file_data: string): MediaPart => ({ type: 'input_file', filename: 'a', file_data });
const text = (mediaType: string, content: string): string =>
  `data:${mediaType};base64,${Buffer.from(content).toString('base64')}`;
const USER = { ...ALICE, trusted: false };
const SERVER = { ...ALICE, trusted: true };

describe('the check of images and files', () => {
  it('reports what the items need', async () => {
    expect(await mediaCheck().check(SERVER, [message(image(), file(PDF))], 'input', { model: 'm' })).toEqual(
      new Set(['image', 'file']),
    );
    expect(await mediaCheck().check(USER, [message()], 'input', { model: 'm' })).toBeUndefined();
  });

  it('lets a caller send them by its credential, or by the configuration [MEDIA-2]', async () => {
    const refused = { code: 'parameter_not_allowed', param: 'input[0].content[0]' };
    await expect(mediaCheck().check(USER, [message(image())], 'input', { model: 'm' })).rejects.toMatchObject(refused);
    await expect(
      mediaCheck({ allow: false }).check(SERVER, [message(image())], 'input', { model: 'm' }),
    ).rejects.toMatchObject(refused);
    expect(await mediaCheck({ allow: true }).check(USER, [message(image())], 'input', { model: 'm' })).toBeDefined();
  });

  it.each([
    ['a text', text('text/plain', 'Gr\u00fc\u00dfe'), true],
    ['a text that is binary', text('text/plain', 'a\0b'), false],
    ['a text that is a picture', PIXEL.replace('image/png', 'text/plain'), false],
    ['a PDF that is a text', text('application/pdf', 'Hello'), false],
    ['an unlisted type', text('text/html', '<p>'), false],
  ])('judges a file by its content: %s [MEDIA-4]', async (_what, data, passes) => {
    const checked = mediaCheck().check(SERVER, [message(file(data))], 'input', { model: 'm' });
    if (passes) expect(await checked).toBeDefined();
    else await expect(checked).rejects.toMatchObject({ code: 'invalid_value', param: 'input[0].content[0]' });
  });

  it.each(['image/jpeg', 'image/png', 'image/webp', 'image/gif'])(
    'reads a hostile %s for the CPU of its head [MEDIA-4, REQ-24]',
    async (mediaType) => {
      const heads = [
        'ffd8ffe10000',
        'ffd8ffe1ffff',
        'ffd8ffe00002',
        '89504e470d0a1a0a0000000d49484452',
        '474946383961',
      ];
      const webp = Buffer.from('RIFF\0\0\u0010\0WEBPVP8X', 'latin1').toString('hex');
      for (const head of [...heads, webp]) {
        for (const fill of [0, 1, 0xd8, 0xff]) {
          const bytes = Buffer.concat([Buffer.from(head, 'hex'), Buffer.alloc(1_200_000, fill)]);
          const item = message(image(`data:${mediaType};base64,${bytes.toString('base64')}`));
          let best = Infinity;
          for (let tries = 0; tries < 20 && best >= cpuBudgetMs(20); tries++) {
            const before = process.threadCpuUsage();
            await mediaCheck({ bytes: 2_000_000 })
              .check(SERVER, [item], 'input', { model: 'm' })
              .catch(() => undefined);
            const { user, system } = process.threadCpuUsage(before);
            best = Math.min(best, (user + system) / 1_000);
          }
          expect([head, fill, best < cpuBudgetMs(20)]).toEqual([head, fill, true]);
        }
      }
    },
  );
});

describe('the size of an image', () => {
  it('counts as bytes of the turn, and as its tokens, not as text [MEDIA-8, MEDIA-7]', () => {
    const url = pngOf(100, 100, 50_000);
    const request = requestOf('', { input: [message(image(url))] });
    expect(requestBytes(request)).toBe(url.length);
    const plan = {
      caller: ALICE,
      system: '',
      request,
      prompt: null,
      source: { kind: 'none' },
      model: 'm',
      maxOutputTokens: 1,
    } as const;
    expect(expectedUse(plan).usage.input_tokens).toBe(85 + 170 + 2 * 4);
  });
});
