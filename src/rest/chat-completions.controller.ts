/*
 * POST /v1/chat/completions: creates a turn that is not stored and answers in the shapes of chat
 * completions. No client can fetch the answer later, so a client that disconnects cancels the turn,
 * unless it sent an idempotency key.
 */

import { Body, Controller, Post, Res } from '@nestjs/common';
import { type FastifyReply } from 'fastify';
import { asSluiceError, SluiceError } from '../domain/errors.js';
import { isTerminal, type LoggedEvent } from '../domain/event.js';
import { type Principal } from '../domain/principal.js';
import { chatCompletion, ChatChunkWriter } from '../protocol/chat/chat-events.js';
import { inChatWords, parseChatRequest } from '../protocol/chat/chat-requests.js';
import { FROM_THE_START } from '../protocol/cursor.js';
import { errorBody, FailedTurn } from '../protocol/errors.js';
import { parseLogged } from '../turn/logged-response.js';
import { ConnectionLimits } from '../turn/connection-limits.js';
import { ResponseReader } from '../turn/response-reader.js';
import { TurnService } from '../turn/turn.service.js';
import { Caller } from './caller.js';
import { answerFailure, createTurn } from './create-turn.js';
import { readingSignal, streamTexts, takeStreamPlace, unlessInterrupted } from './streamed-answer.js';
import { RestTimes } from './rest-times.js';
import { DONE, type SseText } from './sse.js';

const ROUTE = '/v1/chat/completions';

@Controller('v1/chat/completions')
export class ChatCompletionsController {
  constructor(
    private readonly turns: TurnService,
    private readonly reader: ResponseReader,
    private readonly times: RestTimes,
    private readonly limits: ConnectionLimits,
  ) {}

  @Post()
  async create(@Caller() caller: Principal, @Body() body: unknown, @Res() reply: FastifyReply): Promise<void> {
    const chat = parseChatRequest(body);
    if (chat.stream) takeStreamPlace(this.limits, caller, reply);
    const turn = { route: ROUTE, turnRequest: chat.request, delivery: chat.stream ? 'stream' : 'json' } as const;
    const responseId = await createTurn(this.turns, caller, turn, reply).catch((thrown: unknown) => {
      throw inChatWords(asSluiceError(thrown));
    });
    try {
      const reading = readingSignal(reply, this.times.interruptionOf(reply.raw));
      if (chat.stream) await this.#stream(caller, responseId, new ChatChunkWriter(chat.includeUsage), reading, reply);
      else await this.#answer(caller, responseId, reading, reply);
    } catch (thrown) {
      if (!(thrown instanceof FailedTurn)) throw answerGone(asSluiceError(thrown));
      answerFailure(reply, thrown);
    }
  }

  async #answer(caller: Principal, responseId: string, reading: AbortSignal, reply: FastifyReply): Promise<void> {
    const settled = this.reader.settled(caller, responseId, reading);
    const response = await unlessInterrupted(settled, this.times.interruptionOf(reply.raw));
    if (reply.raw.destroyed) return void reply.hijack();
    if (response.status === 'failed') throw new FailedTurn(response);
    void reply.code(200).send(chatCompletion(response));
  }

  /**
   * @throws FailedTurn, SluiceError before the first byte is sent; later errors are sent in the
   * stream
   */
  async #stream(
    caller: Principal,
    responseId: string,
    chunks: ChatChunkWriter,
    reading: AbortSignal,
    reply: FastifyReply,
  ): Promise<void> {
    const texts = chunkTexts(this.reader.events(caller, responseId, FROM_THE_START, reading), chunks);
    await streamTexts(reply, { texts, errorText }, this.times.firstChunkMs, this.times.sseOf(reply.raw));
  }
}

/** Yields one text for each batch of events. @throws FailedTurn if the turn failed */
async function* chunkTexts(
  events: AsyncIterable<readonly LoggedEvent[]>,
  chunks: ChatChunkWriter,
): AsyncGenerator<SseText, void> {
  for await (const batch of events) {
    let text = '';
    for (const logged of batch) {
      try {
        for (const chunk of chunks.take(parseLogged(logged))) text += `data: ${JSON.stringify(chunk)}\n\n`;
      } catch (failed) {
        // Send the chunks of earlier events of this batch before the failure.
        if (text !== '') yield { text, last: false };
        throw failed;
      }
      if (isTerminal(logged.type)) return yield { text: text + DONE, last: true };
    }
    if (text !== '') yield { text, last: false };
  }
}

/**
 * Maps a missing response to `response_expired`: only a client that repeats its request can be too
 * late for the answer.
 */
function answerGone(error: SluiceError): SluiceError {
  if (error.code !== 'response_not_found') return error;
  const why = 'a chat completion is kept for 60 s after its end; send the request with a new key';
  return new SluiceError('response_expired', `unable to give this answer again; ${why}`);
}

/**
 * Formats an error. Chat completions have no event names, so it is a chunk of its own shape without
 * an end marker.
 */
function errorText(error: SluiceError): string {
  return `data: ${JSON.stringify(errorBody(error))}\n\n`;
}
