/* The prompts that a request may name, with their variables: everything but their text. */

import { Controller, Get, UseGuards } from '@nestjs/common';

import { OperationGuard } from './operation.guard.js';
import { type ListBody, listBody } from './list-body.js';

/** What is known of a loaded prompt; the packs' own listing has this shape. */
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
    /** The allowed values, where the pack lists them. */
    readonly enum: readonly unknown[] | null;
  }[];
}

interface PromptBody extends KnownPrompt {
  /** What `prompt.id` may say. */
  readonly id: string;
  readonly object: 'prompt';
  /** It answers requests that name none. */
  readonly default: boolean;
}

/** The highest version of each loaded prompt comes first; `standard`: pack and name of the one that answers where none is named. */
export class PromptList {
  readonly prompts: readonly PromptBody[];

  constructor(prompts: readonly KnownPrompt[], standard: { readonly pack: string; readonly name: string } | null) {
    this.prompts = prompts.map((prompt) => ({
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
  all(): ListBody<PromptBody> {
    return listBody({ data: this.list.prompts, hasMore: false });
  }
}
