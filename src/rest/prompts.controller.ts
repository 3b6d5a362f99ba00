/* The prompts that a request may name, with their variables but without their text. */

import { Controller, Get, Query, UseGuards } from '@nestjs/common';

import { OperationGuard } from './operation.guard.js';
import { refuseQuery } from './queries.js';
import { type ListBody, listBody } from './list-body.js';

/** One loaded prompt, in the shape of the packs' own listing. */
interface KnownPrompt {
  readonly pack: string;
  readonly name: string;
  readonly version: string;
  readonly title: string;
  readonly description: string | null;
  readonly variables: readonly {
    readonly name: string;
    readonly type: string;
    readonly required: boolean;
    readonly default: unknown;
    readonly description: string | null;
    readonly example: unknown;
    /** The allowed values, or null if the pack does not list them. */
    readonly enum: readonly unknown[] | null;
  }[];
}

interface PromptBody extends KnownPrompt {
  /** The value for `prompt.id`. */
  readonly id: string;
  readonly object: 'prompt';
  /** Whether this prompt is used for requests that name none. */
  readonly default: boolean;
}

/**
 * The loaded prompts. The highest version of each comes first. Built for each request, because
 * packs can be reloaded.
 */
export class PromptList {
  constructor(
    private readonly loaded: () => {
      readonly list: readonly KnownPrompt[];
      /** The prompt for requests that name none. */
      readonly standard: { readonly pack: string; readonly name: string } | null;
    },
  ) {}

  get prompts(): readonly PromptBody[] {
    const { list, standard } = this.loaded();
    return list.map((prompt) => ({
      id: `${prompt.pack}/${prompt.name}`,
      object: 'prompt',
      default: prompt.pack === standard?.pack && prompt.name === standard.name,
      ...prompt,
    }));
  }
}

@Controller('v1/prompts')
@UseGuards(OperationGuard)
export class PromptsController {
  constructor(private readonly list: PromptList) {}

  @Get()
  all(@Query() query: unknown): ListBody<PromptBody> {
    refuseQuery(query);
    return listBody({ data: this.list.prompts, hasMore: false });
  }
}
