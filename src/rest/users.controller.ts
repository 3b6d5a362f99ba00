/* REST over users, for backends: ends what a user is signed in with. */

import { Controller, HttpCode, Param, Post, UseGuards } from '@nestjs/common';

import { ClientSecrets } from '../auth/secrets/client-secrets.js';
import { type Principal } from '../domain/principal.js';
import { Caller } from './caller.js';
import { OperationGuard } from './operation.guard.js';

@Controller('v1/users')
@UseGuards(OperationGuard)
export class UsersController {
  constructor(private readonly secrets: ClientSecrets) {}

  @Post(':user/revoke')
  @HttpCode(200)
  async revoke(
    @Caller() caller: Principal,
    @Param('user') user: string,
  ): Promise<{ readonly user: string; readonly object: 'user.revoked'; readonly revoked: true }> {
    await this.secrets.revokeUser(caller, user);
    return { user, object: 'user.revoked', revoked: true };
  }
}
