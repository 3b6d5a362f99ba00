/* The models that the configuration allows, in OpenAI's shape. */

import { Controller, Get, Param, Query, UseGuards } from '@nestjs/common';

import { SluiceError } from '../domain/errors.js';
import { OperationGuard } from './operation.guard.js';
import { refuseQuery } from './queries.js';

interface ModelBody {
  readonly id: string;
  readonly object: 'model';
  readonly created: number;
  readonly owned_by: 'sluice';
}

/** The list from the configuration: the provider's own model first, then `clients.models`. */
export class ModelList {
  readonly models: readonly ModelBody[];

  /** `created` is in Unix seconds. OpenAI's shape requires it; the start of the process is used. */
  constructor(names: readonly string[], created: number) {
    this.models = [...new Set(names)].map((id) => ({ id, object: 'model', created, owned_by: 'sluice' }));
  }
}

@Controller('v1/models')
@UseGuards(OperationGuard)
export class ModelsController {
  constructor(private readonly list: ModelList) {}

  @Get()
  all(@Query() query: unknown): { readonly object: 'list'; readonly data: readonly ModelBody[] } {
    refuseQuery(query);
    return { object: 'list', data: this.list.models };
  }

  @Get(':id')
  one(@Param('id') id: string, @Query() query: unknown): ModelBody {
    refuseQuery(query);
    const model = this.list.models.find((candidate) => candidate.id === id);
    if (model !== undefined) return model;
    throw new SluiceError('model_not_found', 'unable to find this model; GET /v1/models lists those that are served', {
      param: 'model',
    });
  }
}
