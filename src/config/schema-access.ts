/* Keys of authentication, of what callers may request, and of their limits. */

import {
  count,
  duration,
  envName,
  fileName,
  flag,
  key,
  list,
  number,
  oneOf,
  optionalKey,
  optionalSection,
  moment,
  pattern,
  requiredKey,
  section,
  size,
  sectionList,
  sectionMap,
  text,
  url,
} from './keys.js';

const TRUSTED_ONLY = 'true with `auth.mode: none` and for server keys, else false';

export const clients = section('Parameters that requests may use.', {
  models: key(
    list(text, 'model names'),
    [],
    "Models that a request may name. The provider's own model is always allowed.",
  ),
  allow: section('Which parameters a request may set. A value here applies to every caller.', {
    instructions: optionalKey(flag, TRUSTED_ONLY, 'Whether requests may set `instructions`.'),
    model: optionalKey(flag, TRUSTED_ONLY, 'Whether requests may choose a `model` of the list.'),
    tools: optionalKey(flag, TRUSTED_ONLY, 'Whether requests may contain `tools`.'),
    reasoning: optionalKey(
      flag,
      TRUSTED_ONLY,
      'Whether responses show the reasoning of the model. Reasoning is stored and sent back to providers that need it, even if it is not shown.',
    ),
    images: optionalKey(
      flag,
      TRUSTED_ONLY,
      'Whether requests may contain images and files. Guardrails do not read them: they read text only.',
    ),
    history: optionalKey(
      flag,
      TRUSTED_ONLY,
      'Whether requests may contain messages of the assistant, function calls and reasoning: a history that the client carries. Without it a client sends messages of the user and outputs of functions, and continues in a conversation.',
    ),
    sampling: optionalKey(
      flag,
      TRUSTED_ONLY,
      'Whether requests may set `temperature`, `top_p`, `max_output_tokens` and other parameters of the answer.',
    ),
  }),
});

const OF_PER_USER = 'that of `limits.per_user`';

export const limits = section('Limits of callers and of one replica.', {
  per_user: section(
    'Limits of one user, or of a server key without a user. Requests above a limit are refused with 429 and `Retry-After`.',
    {
      requests_per_minute: optionalKey(count(1), 'no limit', 'Turns per minute, over all replicas.'),
      tokens_per_minute: optionalKey(
        count(1),
        'no limit',
        'Input and output tokens per minute, over all replicas. The expected use is reserved before a turn and replaced by the real use after it.',
      ),
      operations_per_minute: key(
        count(1),
        6_000,
        'Operations a minute that are not turns: reads, lists, changes of conversations, cancels, subscribes and resumes. A bucket of this size that refills evenly. Each replica counts its own.',
      ),
      concurrent_turns: optionalKey(
        count(1),
        'no limit',
        'Concurrent turns, running and waiting. Each replica counts its own.',
      ),
      cost_per_day_usd: optionalKey(
        number(0),
        'no limit',
        'US dollars a day, over all replicas: a budget that refills evenly over 24 hours. The expected cost is reserved before a turn and settled after it. Models without a known price cost nothing.',
      ),
    },
  ),
  classes: key(
    sectionMap(
      {
        requests_per_minute: optionalKey(count(1), OF_PER_USER, 'As in `limits.per_user`.'),
        tokens_per_minute: optionalKey(count(1), OF_PER_USER, 'As in `limits.per_user`.'),
        operations_per_minute: optionalKey(count(1), OF_PER_USER, 'As in `limits.per_user`.'),
        concurrent_turns: optionalKey(count(1), OF_PER_USER, 'As in `limits.per_user`.'),
        cost_per_day_usd: optionalKey(number(0), OF_PER_USER, 'As in `limits.per_user`.'),
      },
      'names of classes with the keys of `limits.per_user`',
    ),
    {},
    'Limits by class, for callers whose server key, token or client secret names one. A key that is left out is that of `limits.per_user`; a class that is not listed has the limits of `limits.per_user`.',
  ),
  media: section('Images and files of one request. Over a limit it is refused with 400.', {
    parts: key(count(0, 1_000), 16, 'Most images and files.'),
    bytes: key(
      size('1KiB', '64MiB'),
      '16MiB',
      'Most bytes of one that is sent as a data URL, decoded. `http.max_body_bytes`, `websocket.max_message_bytes` and `state.max_bytes` bound the whole, in base64.',
    ),
    pixels: key(count(1), 40_000_000, 'Most pixels (width times height) of an image that is sent as a data URL.'),
    file_types: key(
      list(pattern(/^[a-z0-9][\w.+-]*\/[a-z0-9][\w.+-]*$/, 'a media type'), 'media types'),
      ['application/pdf', 'text/plain', 'text/markdown', 'text/csv', 'application/json'],
      'Media types of files that are sent as data URLs. The content must agree with the type. Images are PNG, JPEG, GIF or WebP.',
    ),
  }),
  turns: optionalKey(
    count(1),
    'one for each 192 KiB of the heap limit',
    'Turns that one replica runs at once, waiting ones included; further ones are refused with 503 `overloaded` and `Retry-After`.',
  ),
  turn_bytes: optionalKey(
    size('64KiB', '65536MiB'),
    'a twelfth of the heap limit',
    'Bytes of input (instructions, tools, items) of those turns, each counted with 16 KiB more. Over it, new turns are refused in the same way.',
  ),
  refusals_per_minute: key(
    count(1),
    600,
    'Requests over REST that one caller at one address (or an address without a valid credential) may have refused for its own mistakes. A bucket of this size that refills evenly; a body counts once more for each 64 KiB. When it is empty, the answer is 429 before a body is read. Each replica counts its own.',
  ),
  connections: key(
    count(1),
    20_000,
    'Open connections of one replica: sockets, SSE streams, requests and idle HTTP connections. Over it, idle ones are closed, then new ones refused with 503.',
  ),
  connections_per_user: optionalKey(
    count(1),
    'no limit',
    'Open sockets and SSE streams of one user, or of a server key that acts for no user. Over it: 429. Each replica counts its own.',
  ),
  connections_per_address: optionalKey(
    count(1),
    'no limit',
    'Open connections of one address (IPv6: of one /64 network), idle ones included. Behind a proxy of `http.trusted_proxies`: sockets and SSE streams of the address that it names. Over it: 429. An office behind one address shares it: leave room for hundreds of people. Each replica counts its own.',
  ),
});

export const auth = section('Authentication of callers.', {
  mode: key(
    oneOf(['none', 'keys', 'jwt']),
    'none',
    "`none`: everything belongs to one anonymous user. `keys`: server keys. `jwt`: users' tokens, with server keys beside them.",
  ),
  allow_anonymous: key(flag, false, 'Allows `mode: none` on an address that others can reach.'),
  allowed_origins: key(
    list(pattern(/^(\*|https?:\/\/[^/\s]+)$/, 'an origin'), 'origins such as `https://app.example.com`'),
    [],
    "Browser origins that may connect; an empty list means the gateway's own only.",
  ),
  keys: sectionList('Server keys. A server key acts for its whole tenant.', {
    id: requiredKey(
      pattern(/^[A-Za-z0-9][\w.-]{0,63}$/, 'letters, digits, `_`, `.` and `-`, at most 64'),
      'Name of the key in logs; unique.',
    ),
    key_env: optionalKey(envName, 'one of the three is needed', 'Variable that holds the key.'),
    key_file: optionalKey(fileName, 'one of the three is needed', 'File that holds the key.'),
    key_sha256: optionalKey(
      pattern(/^[0-9a-fA-F]{64}$/, 'a SHA-256 as 64 hex digits'),
      'one of the three is needed',
      'SHA-256 of the key, as `sluice keys hash` prints it.',
    ),
    tenant: key(
      pattern(/^[A-Za-z0-9][\w.-]{0,63}$/, 'letters, digits, `_`, `.` and `-`, at most 64'),
      'default',
      'The tenant that the key acts for.',
    ),
    scopes: key(
      list(oneOf(['chat', 'read', 'admin']), 'scopes: `chat`, `read`, `admin`'),
      ['chat'],
      'What the key may do. `chat`: turns, conversations and client secrets. `read`: reading only. `admin`: acts on users (erase, export).',
    ),
    class: optionalKey(text, 'none', 'Class of the key: a name of `limits.classes`.'),
    expires: optionalKey(moment, 'never', 'Expiry of the key.'),
  }),
  jwt: optionalSection('none; needed with `mode: jwt`', "How users' tokens are verified.", {
    jwks_url: optionalKey(url(['http', 'https']), 'one of the two is needed', 'Where the issuer publishes its keys.'),
    public_key_file: optionalKey(fileName, 'one of the two is needed', "The issuer's public key (PEM)."),
    issuer: requiredKey(text, 'The `iss` a token must carry.'),
    audience: requiredKey(text, 'The `aud` a token must carry.'),
    clock_tolerance: key(duration('0s', '5m'), '30s', 'How far the clocks of issuer and gateway may differ.'),
    tenant: key(
      pattern(/^[A-Za-z0-9][\w.-]{0,63}$/, 'letters, digits, `_`, `.` and `-`, at most 64'),
      'default',
      'The tenant of tokens without the claim `claims.tenant`.',
    ),
    algorithms: key(
      list(
        oneOf(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']),
        'asymmetric algorithms',
      ),
      ['RS256', 'ES256', 'EdDSA'],
      'Signature algorithms that are accepted.',
    ),
    claims: section('Which claims name what: a name, or a path such as `realm_access.roles`.', {
      user: key(text, 'sub', 'Claim that names the user: 1 to 256 characters.'),
      tenant: key(text, 'tenant', 'Claim that names the tenant.'),
      scopes: key(
        text,
        'scope',
        'Claim that lists the scopes, as text with spaces or as a list: `chat`, `read` (or `sluice:chat`, `sluice:read`). A token without the claim may chat; other scopes are ignored.',
      ),
      class: key(text, 'class', 'Claim that names the class of limits (`limits.classes`).'),
    }),
  }),
  client_secrets: section('Short-lived secrets for browsers.', {
    ttl: key(duration('10s', '24h'), '10m', 'How long a client secret lives where its request names no time.'),
  }),
});
