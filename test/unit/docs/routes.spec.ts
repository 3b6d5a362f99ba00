/* PROTOCOL.md documents every REST route: clients may not rely on a route that no rule names. */

import { globSync, readFileSync } from 'node:fs';
import { RequestMethod } from '@nestjs/common';
import { METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import { describe, expect, it } from '@jest/globals';
import { ChatCompletionsController } from '../../../src/rest/chat-completions.controller.js';
import { ClientSecretsController } from '../../../src/rest/client-secrets.controller.js';
import { ConversationsController } from '../../../src/rest/conversations.controller.js';
import { CompactController } from '../../../src/rest/compact.controller.js';
import { InputTokensController } from '../../../src/rest/input-tokens.controller.js';
import { ModelsController } from '../../../src/rest/models.controller.js';
import { PromptsController } from '../../../src/rest/prompts.controller.js';
import { ResponsesController } from '../../../src/rest/responses.controller.js';
import { UsersController } from '../../../src/rest/users.controller.js';

const CONTROLLERS = [
  ChatCompletionsController,
  ClientSecretsController,
  ConversationsController,
  CompactController,
  InputTokensController,
  ModelsController,
  PromptsController,
  ResponsesController,
  UsersController,
];

/** `GET /v1/conversations/{id}/items/{item}`, from the decorators. */
const routes = CONTROLLERS.flatMap((controller) => {
  const methods = Object.values(Object.getOwnPropertyDescriptors(controller.prototype)).map(
    ({ value }) => value as object,
  );
  const root = metadata(PATH_METADATA, controller);
  return methods
    .filter((method) => Reflect.hasMetadata(METHOD_METADATA, method))
    .map((method) => {
      const path = `/${root}/${metadata(PATH_METADATA, method)}`.replace(/\/+$/u, '').replace(/:(\w+)/gu, '{$1}');
      return [RequestMethod[Number(metadata(METHOD_METADATA, method))] ?? '', path] as const;
    });
});

function metadata(key: string, of: object): string {
  return String(Reflect.getMetadata(key, of));
}

const rules = readFileSync('PROTOCOL.md', 'utf8')
  .split('\n')
  .filter((line) => /^- \*\*[A-Z]+-\d+\*\* /u.test(line));

describe('PROTOCOL.md', () => {
  it('finds all routes', () => {
    expect(CONTROLLERS).toHaveLength(globSync('src/rest/*.controller.ts').length);
    expect(routes).toContainEqual(['DELETE', '/v1/conversations/{id}/items/{item}']);
  });

  it.each(routes)('finds a rule in PROTOCOL.md for %s %s', (method, path) => {
    // Documented beside the rule of the list: `…/items/{item}`.
    const tail = /\/items\/.*/u.exec(path)?.[0] ?? path;
    const named = rules.some(
      (rule) =>
        new RegExp(`\`${method}\\b`, 'u').test(rule) && (rule.includes(path + '`') || rule.includes(`…${tail}\``)),
    );
    expect(named).toBe(true);
  });
});
