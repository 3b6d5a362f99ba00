/*
 * Checks that concern several keys. A check runs if the sections that it needs could be read, so
 * that one mistake does not hide another.
 */

import { type Mistake } from './config-error.js';
import { type FileConfig } from './schema.js';

/** The sections that could be read. The others have mistakes of their own. */
export type Sections = Partial<FileConfig>;
/** Whether the file contains this key. */
export type Written = (path: string) => boolean;

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}

export function crossCheck(sections: Sections, written: Written): Mistake[] {
  return [
    ...hosts(sections),
    ...keys(sections),
    ...classes(sections),
    ...jwt(sections),
    ...providers(sections),
    ...others(sections, written),
  ];
}

function hosts({ app, monitoring, auth }: Sections): Mistake[] {
  const mistakes: Mistake[] = [];
  if (auth?.mode === 'none' && !auth.allow_anonymous) {
    const open = [
      ['app.host', app?.host],
      ['monitoring.metrics.host', monitoring?.metrics.host],
    ] as const;
    for (const [path, host] of open) {
      if (host === undefined || isLoopback(host)) continue;
      const problem = `others can reach ${host} and \`auth.mode\` is \`none\`; set \`auth.mode: keys\`, or \`auth.allow_anonymous: true\` if that is meant, or use 127.0.0.1`;
      mistakes.push({ path, problem });
    }
  }
  if (app && monitoring && app.port !== 0 && app.port === monitoring.metrics.port) {
    mistakes.push({
      path: 'monitoring.metrics.port',
      problem: `the same port as \`app.port\` (${app.port}); choose another`,
    });
  }
  if (monitoring && ['/health', '/ready'].includes(monitoring.metrics.path)) {
    mistakes.push({
      path: 'monitoring.metrics.path',
      problem: `${monitoring.metrics.path} is taken by the probes; choose another`,
    });
  }
  return mistakes;
}

/** Fields that the gateway sets itself. Changing them would break every answer. */
const OWN_FIELDS: ReadonlySet<string> = new Set(['model', 'messages', 'stream', 'n', 'tools', 'tool_choice']);
const NEEDED_FIELDS: ReadonlySet<string> = new Set(['model', 'messages', 'stream']);

function providers({ provider, fallbacks }: Sections): Mistake[] {
  const all = [
    ...(provider === undefined ? [] : [['provider', provider] as const]),
    ...(fallbacks ?? []).map((fallback, i) => [`fallbacks[${i}]`, fallback] as const),
  ];
  return all.flatMap(([path, { body, drop, models }]) => [
    ...fieldMistakes(path, body, drop),
    ...Object.entries(models).flatMap(([model, own]) => fieldMistakes(`${path}.models.${model}`, own.body, own.drop)),
  ]);
}

function fieldMistakes(path: string, body: Readonly<Record<string, unknown>>, drop: readonly string[]): Mistake[] {
  return [
    ...Object.keys(body)
      .filter((name) => OWN_FIELDS.has(name))
      .map((name) => ({ path: `${path}.body`, problem: `\`${name}\` is set for each turn; leave it out` })),
    ...drop
      .filter((name) => NEEDED_FIELDS.has(name))
      .map((name) => ({ path: `${path}.drop`, problem: `\`${name}\` is needed by every request; leave it out` })),
  ];
}

function keys({ auth }: Sections): Mistake[] {
  if (!auth) return [];
  const mistakes: Mistake[] = [];
  if (auth.mode === 'keys' && auth.keys.length === 0) {
    mistakes.push({
      path: 'auth.keys',
      problem:
        '`auth.mode` is `keys` and there is none, so no client could connect; add a key (`sluice keys new` makes one)',
    });
  }
  const ids = new Set<string>();
  auth.keys.forEach((key, i) => {
    const path = `auth.keys[${i}]`;
    if (ids.has(key.id))
      mistakes.push({ path: `${path}.id`, problem: `\`${key.id}\` is the id of another key too; ids are unique` });
    ids.add(key.id);
    const given = [key.key_env, key.key_file, key.key_sha256].filter((value) => value !== null).length;
    if (given !== 1)
      mistakes.push({
        path,
        problem: `${given === 0 ? 'none' : 'more than one'} of \`key_env\`, \`key_file\`, \`key_sha256\` is given; give one`,
      });
    if (key.scopes.length === 0)
      mistakes.push({
        path: `${path}.scopes`,
        problem: 'an empty list, so the key could do nothing; give `chat`, `admin` or both',
      });
  });
  return mistakes;
}

function classes({ auth, limits, state }: Sections): Mistake[] {
  if (!limits) return [];
  const named = [
    ...(auth?.keys ?? []).map((key, i) => ({ path: `auth.keys[${i}].class`, name: key.class })),
    ...Object.keys(state?.ttl_by_class ?? {}).map((name) => ({ path: `state.ttl_by_class.${name}`, name })),
  ];
  return named.flatMap(({ path, name }) =>
    name === null || Object.hasOwn(limits.classes, name)
      ? []
      : [{ path, problem: `\`${name}\` is no class of \`limits.classes\`; add it there, or correct the name` }],
  );
}

function jwt({ auth }: Sections): Mistake[] {
  if (!auth) return [];
  if (auth.jwt === null) {
    return auth.mode === 'jwt'
      ? [
          {
            path: 'auth.jwt',
            problem:
              '`auth.mode` is `jwt` and this section is missing; give `jwks_url` or `public_key_file`, `issuer` and `audience`',
          },
        ]
      : [];
  }
  const mistakes: Mistake[] = [];
  if ((auth.jwt.jwks_url === null) === (auth.jwt.public_key_file === null)) {
    const which = auth.jwt.jwks_url === null ? 'neither' : 'both';
    mistakes.push({
      path: 'auth.jwt',
      problem: `${which} of \`jwks_url\` and \`public_key_file\` are given; give one`,
    });
  }
  if (auth.jwt.algorithms.length === 0)
    mistakes.push({ path: 'auth.jwt.algorithms', problem: 'an empty list, so no token could pass; give at least one' });
  return mistakes;
}

function others({ state, middleware, monitoring, websocket }: Sections, written: Written): Mistake[] {
  const mistakes: Mistake[] = [];
  if (state?.type === 'redis' && state.url === null) {
    mistakes.push({
      path: 'state.url',
      problem: 'missing; `state.type` is `redis`; give the server, such as `redis://redis:6379`',
    });
  }
  if (state?.mode === 'sentinel' && state.sentinel_master === null) {
    mistakes.push({
      path: 'state.sentinel_master',
      problem:
        'missing; `state.mode` is `sentinel`; give the name that the Sentinels know the master by, such as `mymaster`',
    });
  }
  if (state?.mode === 'cluster' && state.db !== 0) {
    mistakes.push({ path: 'state.db', problem: 'not 0; a Redis Cluster has only database 0; leave it out' });
  }
  if (monitoring?.tracing.enabled && monitoring.tracing.endpoint === null) {
    mistakes.push({
      path: 'monitoring.tracing.endpoint',
      problem:
        'missing; tracing is enabled; give the OTLP/HTTP endpoint, such as `http://otel-collector:4318/v1/traces`',
    });
  }
  const template = middleware?.template;
  if (
    template?.enabled &&
    template.source === null &&
    (written('middleware.template.enabled') || template.default !== null)
  ) {
    mistakes.push({
      path: 'middleware.template.source',
      problem: 'missing; the template step is enabled; give a pack file or a folder of packs, or `enabled: false`',
    });
  }
  if (websocket && websocket.heartbeat_timeout > websocket.heartbeat_interval) {
    mistakes.push({
      path: 'websocket.heartbeat_timeout',
      problem: 'longer than `heartbeat_interval`, so a ping would follow one that is not answered yet; shorten it',
    });
  }
  return mistakes;
}

/**
 * Returns a warning for each key of the file that has no effect, because another key turns it off.
 */
export function withoutEffect(config: FileConfig, written: Written): string[] {
  const rules: readonly (readonly [off: boolean, why: string, paths: readonly string[]])[] = [
    [
      config.state.type === 'memory',
      '`state.type` is `memory`',
      [
        'url',
        'mode',
        'nodes',
        'sentinel_master',
        'sentinel_password_env',
        'sentinel_password_file',
        'username',
        'password_env',
        'password_file',
        'db',
        'pool_size',
        'key_prefix',
        'outage_after',
      ].map((name) => `state.${name}`),
    ],
    [config.state.type === 'redis', '`state.type` is `redis`', ['state.memory_max_bytes']],
    [
      config.state.encryption.key_env === null && config.state.encryption.key_file === null,
      'no key is given',
      ['state.encryption.write'],
    ],
    [
      config.state.type === 'redis' && config.state.mode !== 'sentinel',
      '`state.mode` is not `sentinel`',
      ['state.sentinel_master', 'state.sentinel_password_env', 'state.sentinel_password_file'],
    ],
    [
      config.provider.type === 'demo',
      '`provider.type` is `demo`',
      [
        ...['api_key_env', 'api_key_file', 'base_url', 'headers', 'headers_env', 'headers_file', 'query', 'body'],
        ...['drop', 'tokens_field', 'stream_options', 'tool_call_ids', 'send_reasoning', 'models', 'prices', 'input'],
      ].map((name) => `provider.${name}`),
    ],
    [config.auth.mode === 'none', '`auth.mode` is `none`', ['auth.keys']],
    [config.auth.mode !== 'jwt', '`auth.mode` is not `jwt`', ['auth.jwt']],
    [config.auth.mode !== 'none', '`auth.mode` is not `none`', ['auth.allow_anonymous']],
    [config.conversations.busy === 'reject', '`conversations.busy` is `reject`', ['conversations.max_waiting']],
    [
      !config.middleware.template.enabled,
      'the template step is off',
      ['middleware.template.source', 'middleware.template.default'],
    ],
    [
      !(config.middleware.provider.enabled && config.middleware.provider.cost_tracking),
      'cost is not tracked (`middleware.provider`)',
      ['limits.per_user.cost_per_day_usd'],
    ],
    [
      !config.monitoring.tracing.enabled,
      'tracing is off',
      ['monitoring.tracing.endpoint', 'monitoring.tracing.sample_ratio'],
    ],
  ];
  const unused = rules.flatMap(([off, why, paths]) =>
    off ? paths.filter(written).map((path) => `${path}: has no effect, because ${why}`) : [],
  );
  const { max_messages: sent } = config.middleware.state;
  if (sent !== null && sent > config.state.max_messages) {
    unused.push(
      `middleware.state.max_messages: more than \`state.max_messages\` (${config.state.max_messages}) keeps, so no more than that are sent`,
    );
  }
  return unused;
}
