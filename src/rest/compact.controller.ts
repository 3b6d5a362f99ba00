/* REST: replaces a context by a summary that only this deployment can read. */

import { Body, Controller, Post, Res, UseGuards } from '@nestjs/common';
import { type FastifyReply } from 'fastify';
import { SluiceError } from '../domain/errors.js';
import { newId } from '../domain/ids.js';
import { type CompactionItem } from '../domain/item.js';
import { type Principal } from '../domain/principal.js';
import { type ResponseObject, type Usage, ZERO_USAGE } from '../domain/response.js';
import { FailedTurn } from '../protocol/errors.js';
import { parseCompactRequest } from '../protocol/responses/requests.js';
import { ResponseReader } from '../turn/response-reader.js';
import { SummarySeal } from '../turn/summary-seal.js';
import { TurnService } from '../turn/turn.service.js';
import { Caller } from './caller.js';
import { answerFailure, createTurn } from './create-turn.js';
import { OperationGuard } from './operation.guard.js';
import { RestTimes } from './rest-times.js';
import { readingSignal, unlessInterrupted } from './streamed-answer.js';

interface CompactedBody {
  readonly id: string;
  readonly object: 'response.compaction';
  readonly created_at: number;
  readonly output: readonly CompactionItem[];
  readonly usage: Usage;
  readonly sluice: Pick<ResponseObject['sluice'], 'cost_usd' | 'provider' | 'usage_estimated'>;
}

const ROUTE = '/v1/responses/compact';

@Controller('v1/responses/compact')
@UseGuards(OperationGuard)
export class CompactController {
  constructor(
    private readonly turns: TurnService,
    private readonly reader: ResponseReader,
    private readonly seal: SummarySeal,
    private readonly times: RestTimes,
  ) {}

  @Post()
  async compact(@Caller() caller: Principal, @Body() body: unknown, @Res() reply: FastifyReply): Promise<void> {
    const turnRequest = parseCompactRequest(body);
    this.seal.refuseWithoutKey('input');
    // Errors must not name the turn either: its events contain the summary as plain text.
    const turn = { route: ROUTE, turnRequest, delivery: 'json', hidden: true } as const;
    const responseId = await createTurn(this.turns, caller, turn, reply);
    const interruption = this.times.interruptionOf(reply.raw);
    const settled = this.reader.settled(caller, responseId, readingSignal(reply, interruption));
    const response = await unlessInterrupted(settled, interruption);
    if (reply.raw.destroyed) return void reply.hijack();
    if (response.status === 'failed') answerFailure(reply, new FailedTurn(response));
    else if (response.status !== 'completed' || response.output_text === '') answerFailure(reply, noSummary());
    else void reply.code(200).send(this.#bodyOf(caller, response));
  }

  #bodyOf({ owner }: Principal, response: ResponseObject): CompactedBody {
    const { cost_usd, provider, usage_estimated } = response.sluice;
    const encrypted_content = this.seal.seal(owner, response.output_text);
    return {
      // Do not answer with the id of the turn: its events contain the summary as plain text.
      id: newId('resp'),
      object: 'response.compaction',
      created_at: response.created_at,
      output: [{ type: 'compaction', id: newId('cmp'), encrypted_content, status: 'completed' }],
      usage: response.usage ?? ZERO_USAGE,
      sluice: { cost_usd, provider, usage_estimated },
    };
  }
}

/**
 * The error for a summary that a guardrail refused, that was cut off, or that the model refused.
 */
function noSummary(): SluiceError {
  return new SluiceError(
    'invalid_value',
    'unable to compact; there is no complete summary, or a guardrail refused it; change the input',
    { param: 'input' },
  );
}
