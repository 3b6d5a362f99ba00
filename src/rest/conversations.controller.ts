/* REST over conversations. */

import { Body, Controller, HttpCode, Post, UseGuards } from '@nestjs/common';

import { type Conversation } from '../domain/conversation.js';
import { type Principal } from '../domain/principal.js';
import { parseConversationCreate } from '../protocol/conversation-requests.js';
import { Conversations } from '../turn/conversations.js';
import { Caller, CallerGuard } from './caller.guard.js';

interface ConversationBody {
  readonly id: string;
  readonly object: 'conversation';
  readonly created_at: number;
  readonly metadata: Readonly<Record<string, string>>;
}

@Controller('v1/conversations')
@UseGuards(CallerGuard)
export class ConversationsController {
  constructor(private readonly conversations: Conversations) {}

  @Post()
  @HttpCode(200)
  async create(@Caller() caller: Principal, @Body() body: unknown): Promise<ConversationBody> {
    const { metadata, items } = parseConversationCreate(body);
    return bodyOf(await this.conversations.create(caller, metadata, items));
  }
}

function bodyOf({ id, createdAt, metadata }: Conversation): ConversationBody {
  return { id, object: 'conversation', created_at: createdAt, metadata };
}
