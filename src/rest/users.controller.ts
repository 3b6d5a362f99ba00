/*
 * REST over users, for backends: revokes the credentials of a user, exports and erases the user's
 * data.
 */

import { Readable } from 'node:stream';
import { Controller, Delete, Get, HttpCode, Param, Post, Query, Res, UseGuards } from '@nestjs/common';
import { type FastifyReply } from 'fastify';

import { ClientSecrets } from '../auth/secrets/client-secrets.js';
import { type Principal } from '../domain/principal.js';
import { UserData } from '../turn/user-data.js';
import { Caller } from './caller.js';
import { OperationGuard } from './operation.guard.js';
import { refuseQuery } from './queries.js';

@Controller('v1/users')
@UseGuards(OperationGuard)
export class UsersController {
  constructor(
    private readonly secrets: ClientSecrets,
    private readonly data: UserData,
  ) {}

  @Post(':user/revoke')
  @HttpCode(200)
  async revoke(
    @Caller() caller: Principal,
    @Param('user') user: string,
    @Query() query: unknown,
  ): Promise<{ readonly user: string; readonly object: 'user.revoked'; readonly revoked: true }> {
    refuseQuery(query);
    await this.secrets.revokeUser(caller, user);
    return { user, object: 'user.revoked', revoked: true };
  }

  @Delete(':user')
  async erase(
    @Caller() caller: Principal,
    @Param('user') user: string,
    @Query() query: unknown,
  ): Promise<{
    readonly user: string;
    readonly object: 'user.deleted';
    readonly deleted: true;
    readonly conversations: number;
    readonly responses: number;
  }> {
    refuseQuery(query);
    return { user, object: 'user.deleted', deleted: true, ...(await this.data.erase(caller, user)) };
  }

  @Get(':user/export')
  export(
    @Caller() caller: Principal,
    @Param('user') user: string,
    @Query() query: unknown,
    @Res() reply: FastifyReply,
  ): void {
    refuseQuery(query);
    const lines = Readable.from(this.data.export(caller, user));
    void reply.type('application/jsonl; charset=utf-8').send(lines);
  }
}
