/*
 * Images and files: in every place where a client may send them, their bounds, and what stays of
 * them.
 */

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { cpuBudgetMs } from '../support/cost.js';
import { type ApiAnswer, GatewayHarness, terminalOf } from '../support/gateway-harness.js';
import { textAnswer } from '../support/fake-openai-server.js';
import { PDF, PIXEL, pngOf } from '../support/media.js';

const ONE_TRY = { provider: { retry: { max_attempts: 1 }, breaker: { failures: 1_000 } } };
const MODELS = { 'blind-model': { input: ['text'] }, 'url-model': { input: ['text', 'image', 'file', 'file_url'] } };

let harness: GatewayHarness;
beforeAll(async () => {
  harness = await GatewayHarness.start({
    config: {
      provider: { type: 'openai', model: 'fake-model', input: ['text', 'image', 'file'], models: MODELS },
      clients: { models: Object.keys(MODELS) },
      limits: { media: { parts: 3, bytes: '600KiB', pixels: 1_000_000 } },
      middleware: { ...ONE_TRY, validator: { banned_words: ['forbidden'] } },
    },
  });
  harness.says('Seen');
});
afterEach(() => harness.hangUp());
afterAll(() => harness.close());

const image = (image_url = PIXEL): object => ({ type: 'input_image', image_url, detail: 'high' });
const file = (file_data = PDF, filename = 'a.pdf'): object => ({ type: 'input_file', filename, file_data });
const text = (words: string): object => ({ type: 'input_text', text: words });
const user = (...content: object[]): object => ({ role: 'user', content });
const errorIn = ({ body }: ApiAnswer) => body['error'];
const asked = () => harness.provider.requests.at(-1)?.body.messages;

const SENT_IMAGE = { type: 'image_url', image_url: { url: PIXEL, detail: 'high' } };
const SENT_FILE = { type: 'file', file: { file_data: PDF, filename: 'a.pdf' } };

describe('images and files', () => {
  it('sends images and files to the provider in the order of the parts, over REST and a socket [MEDIA-1]', async () => {
    const input = [user(text('What is'), image(), text('and'), file())];
    const content = [{ type: 'text', text: 'What is' }, SENT_IMAGE, { type: 'text', text: 'and' }, SENT_FILE];
    expect((await harness.post({ input })).body).toMatchObject({ output_text: 'Seen' });
    expect(asked()).toEqual([{ role: 'user', content }]);
    expect(terminalOf(await (await harness.connect()).run({ input })).output_text).toBe('Seen');
    expect(asked()).toEqual([{ role: 'user', content }]);
  });

  it('passes URLs of images and files on, and never fetches them [MEDIA-1, MEDIA-3]', async () => {
    const image_url = 'https://pictures.invalid/a.png?sig=1';
    const file_url = 'https://files.invalid/a.pdf';
    const input = [user({ type: 'input_image', image_url }, { type: 'input_file', file_url })];
    const refused = await harness.post({ input });
    expect(errorIn(refused)).toMatchObject({ code: 'unsupported_content', param: 'input[0].content[1]' });
    expect((await harness.post({ model: 'url-model', input })).status).toBe(200);
    expect(asked()).toEqual([
      {
        role: 'user',
        content: [
          { type: 'image_url', image_url: { url: image_url } },
          { type: 'file', file: { file_data: file_url } },
        ],
      },
    ]);
  });

  it('sends images and files of function outputs after the outputs of the round [MEDIA-1]', async () => {
    const call = (call_id: string): object => ({ type: 'function_call', call_id, name: 'look', arguments: '{}' });
    const output = (call_id: string, ...parts: object[]): object => ({
      type: 'function_call_output',
      call_id,
      output: parts,
    });
    const input = [user(text('Look')), call('a'), call('b'), output('a', image()), output('b', text('ok'), file())];
    const { body } = await harness.post({ input: [...input, user(text('Well?'))] });
    expect(body).toMatchObject({ output_text: 'Seen' });
    expect(asked()).toMatchObject([
      { role: 'user' },
      { role: 'assistant' },
      { role: 'tool', content: '(shown below)' },
      { role: 'tool', content: 'ok' },
      { role: 'user', content: [SENT_IMAGE, SENT_FILE] },
      { role: 'user', content: 'Well?' },
    ]);
  });

  it('accepts images and files of chat completions as image_url and file [MEDIA-1]', async () => {
    const content = [{ type: 'text', text: 'See' }, SENT_IMAGE, SENT_FILE];
    const messages = [{ role: 'user', content }];
    const { body } = await harness.api('/v1/chat/completions', { method: 'POST', body: { messages } });
    expect(body).toMatchObject({ choices: [{ message: { content: 'Seen' } }] });
    expect(asked()).toEqual([{ role: 'user', content }]);
    const wrong = { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:,x' } }] }] };
    expect(errorIn(await harness.api('/v1/chat/completions', { method: 'POST', body: wrong }))).toMatchObject({
      param: 'messages[0].content[0].image_url.url',
    });
  });

  it('stores images and files, lists them, and sends them again with the next turn [MEDIA-8]', async () => {
    const conversation = await harness.conversation();
    const { body } = await harness.post({ conversation, input: [user(text('See'), image(), file())] });
    const stored = [{ type: 'input_text', text: 'See' }, image(), file()];
    const items = await harness.api(`/v1/conversations/${conversation}/items?order=asc`);
    expect(items.body).toMatchObject({ data: [{ content: stored }, { role: 'assistant' }] });
    const input = await harness.api(`/v1/responses/${String(body['id'])}/input_items`);
    expect(input.body).toMatchObject({ data: [{ content: stored }] });
    await harness.post({ conversation, input: 'And now?' });
    expect(asked()?.[0]).toEqual({ role: 'user', content: [{ type: 'text', text: 'See' }, SENT_IMAGE, SENT_FILE] });
  });

  it('checks the text beside images and files by guardrails, and not their content [MEDIA-6]', async () => {
    const hidden = `data:text/plain;base64,${Buffer.from('a forbidden word').toString('base64')}`;
    const passed = await harness.post({ input: [user(text('Read'), file(hidden, 'forbidden.txt'))] });
    expect(passed.body).toMatchObject({ output_text: 'Seen', sluice: { findings: [] } });
    const denied = await harness.post({ input: [user(text('forbidden'), image())] });
    expect(denied.body).toMatchObject({ sluice: { findings: [{ decision: 'deny' }], kept: 'display_only' } });
  });
});

describe('an image or file that is not served', () => {
  it.each([
    ['of a type that is not served', [image('data:image/svg+xml;base64,PHN2Zy8+')], 'input[0].content[0]'],
    ['of another type than it says', [text('x'), image(PIXEL.replace('png', 'jpeg'))], 'input[0].content[1]'],
    ['that is a file in truth', [image(PDF.replace('application/pdf', 'image/png'))], 'input[0].content[0]'],
    ['that is a program', [file(PDF.replace('pdf;base64,', 'pdf;base64,TVqQAAMAAAAEAAAA'))], 'input[0].content[0]'],
    ['with too many pixels', [image(pngOf(2_000, 2_000))], 'input[0].content[0]'],
    ['with too many bytes', [image(pngOf(10, 10, 650_000))], 'input[0].content[0]'],
    ['of one too many', [image(), image(), file(), file()], 'input'],
    ['that is no base64', [image('data:image/png;base64,####')], 'input[0].content[0]'],
    ['that is empty', [image('data:image/png;base64,')], 'input[0].content[0]'],
    ['over plain http', [image('http://pictures.invalid/a.png')], 'input[0].content[0].image_url'],
    ['with a password in its URL', [image('https://a:b@pictures.invalid/')], 'input[0].content[0].image_url'],
    ['without a name', [{ type: 'input_file', file_data: PDF }], 'input[0].content[0].filename'],
    ['without content', [{ type: 'input_file', filename: 'a' }], 'input[0].content[0].file_data'],
  ])('refuses an image or file with its path: %s [MEDIA-4]', async (_what, content, param) => {
    const before = harness.provider.requests.length;
    const answer = await harness.post({ input: [user(...content)] });
    expect(answer.status).toBe(400);
    expect(errorIn(answer)).toMatchObject({ param });
    expect(harness.provider.requests).toHaveLength(before);
  });

  it('refuses an image or file that the model does not take before anything is stored, also as an item of a conversation [MEDIA-3]', async () => {
    const conversation = await harness.conversation();
    const input = [user(text('See'), image())];
    const answer = await harness.post({ conversation, model: 'blind-model', input });
    expect(answer.status).toBe(400);
    expect(errorIn(answer)).toMatchObject({ code: 'unsupported_content', param: 'input[0].content[1]' });
    const items = await harness.api(`/v1/conversations/${conversation}/items`);
    expect(items.body).toMatchObject({ data: [] });
    const none = await GatewayHarness.start();
    const refused = await none.api('/v1/conversations', { method: 'POST', body: { items: input } });
    expect(errorIn(refused)).toMatchObject({ code: 'unsupported_content', param: 'items[0].content[1]' });
    await none.close();
  });

  it('replaces an image or file that is only in the history by a note [MEDIA-9]', async () => {
    const conversation = await harness.conversation();
    await harness.post({ conversation, input: [user(text('See'), image(), file())] });
    await harness.post({ conversation, model: 'blind-model', input: 'Well?' });
    const notes = ['See', '(an image, not shown to this model)', '(a file, not shown to this model)'];
    expect(asked()?.[0]).toEqual({ role: 'user', content: notes.map((words) => ({ type: 'text', text: words })) });
  });
});

describe('a provider that does not accept an image', () => {
  const refusal = (status: number, message: string, code: string | null = null) => ({
    status,
    body: { error: { message, type: 'invalid_request_error', code, param: null } },
  });
  afterEach(() => harness.says('Seen'));

  it.each([
    refusal(400, 'Invalid image data', 'invalid_base64'),
    refusal(404, 'No endpoints found that support image input'),
    refusal(400, 'x is not a multimodal model'),
    refusal(500, 'image input is not supported - hint: you may need to provide the mmproj'),
  ])('fails the turn as the mistake of its client, and the conversation continues [MEDIA-5]', async (answer) => {
    const conversation = await harness.conversation();
    harness.provider.answerWith(answer);
    const failed = await harness.post({ conversation, input: [user(text('See'), image())] });
    expect(failed.status).toBe(400);
    expect(errorIn(failed)).toMatchObject({ code: 'unsupported_content' });
    harness.says('Fine');
    expect((await harness.post({ conversation, input: 'Well?' })).body).toMatchObject({ output_text: 'Fine' });
    expect(asked()).toEqual([{ role: 'user', content: 'Well?' }]);
  });

  it('calls a provider that no longer accepts an image again without those of earlier turns [MEDIA-5]', async () => {
    const conversation = await harness.conversation();
    await harness.post({ conversation, input: [user(text('See'), image('https://pictures.invalid/a.png'))] });
    harness.provider.answerWith(({ body }) =>
      JSON.stringify(body).includes('image_url')
        ? refusal(400, 'Error while downloading', 'invalid_image_url')
        : textAnswer(['Without']),
    );
    expect((await harness.post({ conversation, input: 'Well?' })).body).toMatchObject({ output_text: 'Without' });
  });
});

it('spends no more CPU on an image of the largest legal size than on any request [REQ-24, MEDIA-4]', async () => {
  const body = JSON.stringify({ store: false, input: [user(image(pngOf(900, 900, 600_000)))] });
  let best = Infinity;
  for (let tries = 0; tries < 5 && best >= cpuBudgetMs(100); tries++) {
    const before = process.cpuUsage();
    const { status } = await harness.api('/v1/responses', { method: 'POST', body });
    const { user: own, system } = process.cpuUsage(before);
    expect(status).toBe(200);
    best = Math.min(best, (own + system) / 1_000);
  }
  expect(best).toBeLessThan(cpuBudgetMs(100));
});

it('refuses images and files of a caller whose credential is not trusted [MEDIA-2]', async () => {
  const strict = await GatewayHarness.start({
    config: {
      provider: { type: 'openai', model: 'fake-model', input: ['text', 'image'] },
      clients: { allow: { images: false } },
      middleware: ONE_TRY,
    },
  });
  const answer = await strict.post({ input: [user(text('See'), image())] });
  expect(answer.status).toBe(400);
  expect(errorIn(answer)).toMatchObject({ code: 'parameter_not_allowed', param: 'input[0].content[1]' });
  expect(strict.provider.requests).toHaveLength(0);
  await strict.close();
});
