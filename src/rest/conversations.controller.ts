/*
 * REST over conversations and their items, in OpenAI's shapes. Fields of Sluice are under `sluice`.
 */

import { Body, Controller, Delete, Get, HttpCode, Param, Post, Query, UseGuards } from '@nestjs/common';
import { type Conversation } from '../domain/conversation.js';
import { type Author, authorOf, type Item, type StoredItem } from '../domain/item.js';
import { type Principal } from '../domain/principal.js';
import {
  parseConversationCreate,
  parseConversationUpdate,
  parseItemsCreate,
} from '../protocol/responses/conversation-requests.js';
import { Conversations } from '../turn/conversations.js';
import { Caller } from './caller.js';
import { OperationGuard } from './operation.guard.js';
import { type ListBody, listBody } from './list-body.js';
import { readDeletionQuery, readHistoryQuery, readListQuery, refuseQuery } from './queries.js';

interface ConversationBody {
  readonly id: string;
  readonly object: 'conversation';
  readonly created_at: number;
  readonly metadata: Readonly<Record<string, string>>;
  readonly sluice: {
    readonly title: string | null;
    /** Unix seconds of the last change of the conversation or its items. */
    readonly updated_at: number;
  };
}

type ItemBody = Item & {
  readonly sluice: {
    /** The author of the item: a user, the model, a person in its place, or the system. */
    readonly author: Author;
    /** The response that added the item, or null if a client did. */
    readonly response_id: string | null;
    /** Whether a guardrail refused the item. Clients see it, but it is never sent to a provider. */
    readonly withheld: boolean;
  };
};

@Controller('v1/conversations')
@UseGuards(OperationGuard)
export class ConversationsController {
  constructor(private readonly conversations: Conversations) {}

  @Post()
  @HttpCode(200)
  async create(@Caller() caller: Principal, @Body() body: unknown, @Query() query: unknown): Promise<ConversationBody> {
    refuseQuery(query);
    const { metadata, items } = parseConversationCreate(body);
    return bodyOf(await this.conversations.create(caller, metadata, items));
  }

  @Get()
  async list(@Caller() caller: Principal, @Query() query: unknown): Promise<ListBody<ConversationBody>> {
    const page = await this.conversations.list(caller, readHistoryQuery(query));
    return listBody({ ...page, data: page.data.map(bodyOf) });
  }

  @Get(':id')
  async retrieve(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Query() query: unknown,
  ): Promise<ConversationBody> {
    refuseQuery(query);
    return bodyOf(await this.conversations.retrieve(caller, id));
  }

  @Post(':id')
  @HttpCode(200)
  async update(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Body() body: unknown,
    @Query() query: unknown,
  ): Promise<ConversationBody> {
    refuseQuery(query);
    return bodyOf(await this.conversations.update(caller, id, parseConversationUpdate(body)));
  }

  @Delete(':id')
  async remove(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Query() query: unknown,
  ): Promise<{ readonly id: string; readonly object: 'conversation.deleted'; readonly deleted: true }> {
    await this.conversations.remove(caller, id, readDeletionQuery(query));
    return { id, object: 'conversation.deleted', deleted: true };
  }

  @Get(':id/items')
  async listItems(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Query() query: unknown,
  ): Promise<ListBody<ItemBody>> {
    const page = await this.conversations.listItems(caller, id, readListQuery(query));
    return listBody({ ...page, data: page.data.map(itemBody) });
  }

  @Post(':id/items')
  @HttpCode(200)
  async addItems(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Body() body: unknown,
    @Query() query: unknown,
  ): Promise<ListBody<ItemBody>> {
    refuseQuery(query);
    const added = await this.conversations.addItems(caller, id, parseItemsCreate(body));
    return listBody({ data: added.map(itemBody), hasMore: false });
  }

  @Get(':id/items/:item')
  async retrieveItem(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Param('item') item: string,
    @Query() query: unknown,
  ): Promise<ItemBody> {
    refuseQuery(query);
    return itemBody(await this.conversations.getItem(caller, id, item));
  }

  @Delete(':id/items/:item')
  async removeItem(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Param('item') item: string,
    @Query() query: unknown,
  ): Promise<ConversationBody> {
    refuseQuery(query);
    return bodyOf(await this.conversations.removeItem(caller, id, item));
  }
}

function bodyOf({ id, createdAt, updatedAt, metadata, title }: Conversation): ConversationBody {
  return { id, object: 'conversation', created_at: createdAt, metadata, sluice: { title, updated_at: updatedAt } };
}

function itemBody({ item, responseId, withheld }: StoredItem): ItemBody {
  return { ...item, sluice: { ...item.sluice, author: authorOf(item), response_id: responseId, withheld } };
}
