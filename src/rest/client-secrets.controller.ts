/* REST over client secrets, for backends: makes and deletes them. */

import { Body, Controller, Delete, HttpCode, Param, Post, Query, UseGuards } from '@nestjs/common';

import { ClientSecrets } from '../auth/secrets/client-secrets.js';
import { type Principal, type Scope } from '../domain/principal.js';
import { parseClientSecretCreate } from '../protocol/client-secret-requests.js';
import { Caller } from './caller.js';
import { OperationGuard } from './operation.guard.js';
import { refuseQuery } from './queries.js';

interface ClientSecretBody {
  readonly id: string;
  readonly object: 'client_secret';
  /** The secret itself. Only the answer to its creation shows it. */
  readonly value: string;
  /** Unix seconds. */
  readonly expires_at: number;
  readonly user: string;
  readonly conversation: string | null;
  readonly scopes: readonly Scope[];
}

@Controller('v1/client_secrets')
@UseGuards(OperationGuard)
export class ClientSecretsController {
  constructor(private readonly secrets: ClientSecrets) {}

  @Post()
  @HttpCode(200)
  async create(@Caller() caller: Principal, @Body() body: unknown, @Query() query: unknown): Promise<ClientSecretBody> {
    refuseQuery(query);
    const { value, stored } = await this.secrets.make(caller, parseClientSecretCreate(body));
    return {
      id: stored.id,
      object: 'client_secret',
      value,
      expires_at: Math.floor(stored.expiresAtMs / 1_000),
      user: stored.user,
      conversation: stored.binding?.conversation ?? null,
      scopes: stored.scopes,
    };
  }

  @Delete(':id')
  async remove(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Query() query: unknown,
  ): Promise<{ readonly id: string; readonly object: 'client_secret.deleted'; readonly deleted: true }> {
    refuseQuery(query);
    await this.secrets.remove(caller, id);
    return { id, object: 'client_secret.deleted', deleted: true };
  }
}
