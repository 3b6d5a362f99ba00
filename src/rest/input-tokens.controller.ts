/* REST: counts the tokens of a request without creating a turn. */

import { Body, Controller, HttpCode, Post, UseGuards } from '@nestjs/common';
import { type Principal } from '../domain/principal.js';
import { parseTokenCountRequest } from '../protocol/responses/requests.js';
import { InputTokens } from '../turn/input-tokens.js';
import { Caller } from './caller.js';
import { OperationGuard } from './operation.guard.js';

@Controller('v1/responses/input_tokens')
@UseGuards(OperationGuard)
export class InputTokensController {
  constructor(private readonly tokens: InputTokens) {}

  @Post()
  @HttpCode(200)
  async count(
    @Caller() caller: Principal,
    @Body() body: unknown,
  ): Promise<{ readonly object: 'response.input_tokens'; readonly input_tokens: number }> {
    const { request } = parseTokenCountRequest(body);
    return { object: 'response.input_tokens', input_tokens: await this.tokens.count(caller, request) };
  }
}
