/*
 * REST over responses: creates turns and reads their responses. A client that disconnects stops
 * reading. It cancels the turn only if it requested that, or if no client could fetch the answer
 * later.
 */

import { Body, Controller, Delete, Get, HttpCode, Param, Post, Query, Req, Res, UseGuards } from '@nestjs/common';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { type LoggedEvent } from '../domain/event.js';
import { type Item } from '../domain/item.js';
import { type Principal } from '../domain/principal.js';
import { type ResponseObject } from '../domain/response.js';
import { FailedTurn } from '../protocol/errors.js';
import { parseResponseRequest } from '../protocol/responses/requests.js';
import { ConnectionLimits } from '../turn/connection-limits.js';
import { ResponseReader } from '../turn/response-reader.js';
import { TurnService } from '../turn/turn.service.js';
import { Caller } from './caller.js';
import { answerFailure, createTurn } from './create-turn.js';
import { OperationGuard } from './operation.guard.js';
import { readingSignal, streamTexts, takeStreamPlace, unlessInterrupted } from './streamed-answer.js';
import { type ListBody, listBody } from './list-body.js';
import { readListQuery, readRetrieveQuery, refuseQuery } from './queries.js';
import { RestTimes } from './rest-times.js';
import { eventBody } from './sse.js';

interface StreamReading {
  /** Aborts when the reading must end before the response has. */
  readonly reading: AbortSignal;
  /** Number of the last event that the client has; −1 without one. */
  readonly after?: number;
  readonly whenNothing?: 'empty stream' | 'no content';
}

@Controller('v1/responses')
@UseGuards(OperationGuard)
export class ResponsesController {
  constructor(
    private readonly turns: TurnService,
    private readonly reader: ResponseReader,
    private readonly times: RestTimes,
    private readonly limits: ConnectionLimits,
  ) {}

  @Post()
  async create(@Caller() caller: Principal, @Body() body: unknown, @Res() reply: FastifyReply): Promise<void> {
    const parsed = parseResponseRequest(body, 'rest');
    const { stream, request: turnRequest } = parsed;
    const delivery = stream ? 'stream' : turnRequest.background ? 'background' : 'json';
    if (stream) takeStreamPlace(this.limits, caller, reply);
    const turn = { route: '/v1/responses', turnRequest, delivery } as const;
    const responseId = await createTurn(this.turns, caller, turn, reply);
    const reading = this.#readingSignal(reply);
    if (stream) return this.#stream(this.reader.repeat(caller, responseId, reading), reply, { reading });
    const { background } = turnRequest;
    const read = background
      ? this.reader.retrieve(caller, responseId)
      : this.reader.settled(caller, responseId, reading);
    const response = await this.#unlessInterrupted(read, reply);
    if (reply.raw.destroyed) return void reply.hijack();
    if (!background && response.status === 'failed') answerFailure(reply, new FailedTurn(response));
    else this.#send(reply, response);
  }

  @Get(':id')
  async retrieve(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Query() query: unknown,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const { stream, after, reconnects } = readRetrieveQuery(query, [request.headers['last-event-id']].flat()[0]);
    const whenNothing = reconnects ? 'no content' : 'empty stream';
    if (stream) {
      takeStreamPlace(this.limits, caller, reply);
      const reading = this.#readingSignal(reply);
      return this.#stream(this.reader.events(caller, id, after, reading), reply, { reading, after, whenNothing });
    }
    this.#send(reply, await this.reader.retrieve(caller, id));
  }

  @Post(':id/cancel')
  @HttpCode(200)
  async cancel(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Query() query: unknown,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ResponseObject> {
    refuseQuery(query);
    if ((await this.turns.cancel(caller, id)) === 'ended') return this.reader.retrieve(caller, id);
    const settled = this.reader.settled(caller, id, this.#readingSignal(reply), this.times.cancelWaitMs);
    return this.#unlessInterrupted(settled, reply);
  }

  @Delete(':id')
  async remove(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Query() query: unknown,
  ): Promise<{ readonly id: string; readonly object: 'response'; readonly deleted: true }> {
    refuseQuery(query);
    await this.reader.remove(caller, id);
    return { id, object: 'response', deleted: true };
  }

  @Get(':id/input_items')
  async inputItems(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Query() query: unknown,
  ): Promise<ListBody<Item>> {
    return listBody(await this.reader.inputItems(caller, id, readListQuery(query)));
  }

  #readingSignal(reply: FastifyReply): AbortSignal {
    return readingSignal(reply, this.times.interruptionOf(reply.raw));
  }

  #unlessInterrupted<T>(work: Promise<T>, reply: FastifyReply): Promise<T> {
    return unlessInterrupted(work, this.times.interruptionOf(reply.raw));
  }

  #send(reply: FastifyReply, response: ResponseObject): void {
    void reply.code(200).send(response);
  }

  /**
   * Answers with the events of a response.
   * @throws SluiceError before the first byte is sent; later errors are sent in the stream
   */
  async #stream(
    events: AsyncIterable<readonly LoggedEvent[]>,
    reply: FastifyReply,
    { reading, after = -1, whenNothing = 'empty stream' }: StreamReading,
  ): Promise<void> {
    const body = eventBody(events, reading, after);
    await streamTexts(reply, body, this.times.firstEventMs, this.times.sseOf(reply.raw), whenNothing);
  }
}
