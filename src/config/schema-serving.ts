/*
 * Keys of the process, its sockets and requests, and the store of conversations.
 */

import {
  addressRange,
  count,
  duration,
  durationMap,
  envName,
  fileName,
  flag,
  key,
  list,
  oneOf,
  optionalKey,
  pattern,
  port,
  section,
  size,
  text,
  url,
} from './keys.js';
import { tlsSection } from './schema-tls.js';

export const app = section('The process and its main listener.', {
  name: key(
    pattern(
      /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/,
      'lower-case letters, digits and `-`, starting with a letter, at most 63',
    ),
    'sluice',
    'Name of the deployment. With underscores it is the prefix of every metric.',
  ),
  version: key(
    text,
    '1.0.0',
    'Version of the deployment: label `deployment` of `build_info`, and of traces. The version of the software is its own.',
  ),
  environment: key(
    pattern(/^[a-z][a-z0-9-]*$/, 'lower-case letters, digits and `-`'),
    'development',
    'Name of the environment, in every log line.',
  ),
  host: key(
    text,
    '127.0.0.1',
    'Address to listen on. With `auth.mode: none` only a loopback address is accepted unless `auth.allow_anonymous` is true.',
  ),
  port: key(port, 8080, 'Port of the playground, WebSocket and REST.'),
  playground: key(
    flag,
    true,
    'Whether the playground and the browser client are served, to every client without a credential.',
  ),
  shutdown_timeout: key(
    duration('0s', '1h'),
    '30s',
    'How long running turns may continue after SIGTERM before they are aborted.',
  ),
});

const encryption = section(
  'Encryption of what people and models say in Redis, with AES-256-GCM. Each conversation has a data key, which the master key encrypts. See docs/operations.',
  {
    key_env: optionalKey(
      envName,
      'none; text is stored unencrypted',
      'Variable that holds the master key: 32 bytes as base64 (`openssl rand -base64 32`). All replicas need the same.',
    ),
    key_file: optionalKey(fileName, 'none', 'File that holds the master key, instead of `key_env`.'),
    next_key_env: optionalKey(
      envName,
      'none',
      'Variable that holds the master key that replaces this one soon. It only decrypts, so that all replicas can read what the first one with the new key writes.',
    ),
    next_key_file: optionalKey(fileName, 'none', 'File that holds it, instead of `next_key_env`.'),
    previous_key_envs: key(
      list(envName, 'names of environment variables'),
      [],
      'Variables that hold former master keys. A data key that one of them encrypts is encrypted with the current one when it is used.',
    ),
    previous_key_files: key(
      list(fileName, 'files; a relative one is looked for beside this file'),
      [],
      'Files that hold former master keys.',
    ),
    write: key(
      flag,
      true,
      'Whether new text is encrypted. False: encrypted text is only read, for the time in which not all replicas have the key.',
    ),
  },
);

export const state = section('Where conversations, event logs and ended responses are kept.', {
  type: key(
    oneOf(['memory', 'redis']),
    'memory',
    '`memory`: in this process, lost when it ends. `redis`: shared by all replicas.',
  ),
  url: optionalKey(url(['redis', 'rediss']), 'none; needed with `redis`', 'The Redis server.'),
  tls: tlsSection,
  mode: key(
    oneOf(['single', 'cluster', 'sentinel']),
    'single',
    'Deployment of Redis. `url` is the address of the server, of one node of a Cluster, or of one Sentinel.',
  ),
  nodes: key(
    list(pattern(/^[^\s:]+:\d{1,5}$/, 'an address as `host:port`'), 'addresses such as `redis-1:6379`'),
    [],
    'Further nodes of the Cluster, or further Sentinels.',
  ),
  sentinel_master: optionalKey(
    text,
    'none; needed with `mode: sentinel`',
    'Name of the master that the Sentinels monitor.',
  ),
  sentinel_password_env: optionalKey(envName, 'no password', 'Variable that holds the password of the Sentinels.'),
  sentinel_password_file: optionalKey(
    fileName,
    'no password',
    "File that holds the Sentinels' password, instead of `sentinel_password_env`.",
  ),
  username: optionalKey(text, "Redis' default user", 'Redis user.'),
  password_env: optionalKey(envName, 'no password', 'Variable that holds the Redis password.'),
  password_file: optionalKey(fileName, 'no password', 'File that holds the Redis password, instead of `password_env`.'),
  db: key(count(0, 1_000), 0, 'Number of the Redis database.'),
  pool_size: key(
    count(2, 1_000),
    10,
    'Most connections of one replica to each Redis server. Commands are pipelined, so at most three are opened: one for subscriptions, one for logs and leases, and from 3 on one for all other commands. One more, which is not counted, carries only the heartbeat.',
  ),
  key_prefix: optionalKey(
    text,
    '`app.name` and a colon',
    'Prefix of every key and channel, so that deployments can share a Redis.',
  ),
  encryption,
  ttl: key(
    duration('1m', '365d'),
    '24h',
    'How long a conversation and an ended response are kept after the last read or write.',
  ),
  ttl_by_class: key(
    durationMap('1m', '365d'),
    {},
    'The same by class: names of `limits.classes` with a duration each, such as `trial: 1h`. The class of the credential that creates a conversation or a response decides; a class that is not listed has `state.ttl`. Events of ended responses are kept as long, at most 10 minutes.',
  ),
  max_messages: key(count(1, 10_000), 100, 'Most items of a conversation. The oldest are dropped first.'),
  max_bytes: key(
    size('64KiB', '512MiB'),
    '8MiB',
    'Most bytes of all items of a conversation as JSON, and of the context that is stored with a response for `previous_response_id`. The oldest items are dropped first. A larger single item is refused with 400.',
  ),
  memory_max_bytes: optionalKey(
    size('1MiB', '1048576MiB'),
    'half of the heap limit, at most `512MiB`',
    'Most bytes that `state.type: memory` keeps: half for conversations and responses, three eighths for the events of ended responses, one eighth for idempotency keys. The least recently used is dropped first; data of running turns is kept.',
  ),
  outage_after: key(
    duration('1s', '10m'),
    '30s',
    'After this time without Redis, sockets are closed with 1013 and upgrades refused until it is back. Until then running turns buffer and continue.',
  ),
});

export const conversations = section('Concurrent turns of one conversation.', {
  busy: key(
    oneOf(['queue', 'reject']),
    'queue',
    '`queue`: a second turn waits for the first. `reject`: it is refused with 409 `conversation_busy`.',
  ),
  max_waiting: key(
    count(0, 1_000),
    8,
    'How many turns may wait on one conversation before further ones are refused. Used with `busy: queue`.',
  ),
});

export const compaction = section('Summaries in place of long context.', {
  key_env: optionalKey(
    envName,
    'none; summaries are refused',
    'Variable that holds the secret, of at least 32 characters, with which summaries are encrypted. All replicas need the same. Summaries that were made with another one cannot be read.',
  ),
  key_file: optionalKey(fileName, 'none', 'File that holds the secret, instead of `key_env`.'),
});

export const batch = section('How deltas are joined into events.', {
  max_window: key(
    duration('0ms', '1s'),
    '40ms',
    'Longest time that a delta waits for more text under load; an idle gateway sends at once. 0: deltas do not wait, but simultaneous ones are still joined.',
  ),
});

export const websocket = section('Limits of one WebSocket connection.', {
  heartbeat_interval: key(duration('1s', '10m'), '20s', 'Time between two pings of the server (+/-10 %).'),
  heartbeat_timeout: key(
    duration('1s', '10m'),
    '10s',
    'A connection that has not answered a ping within this time is closed.',
  ),
  max_message_bytes: key(
    size('1KiB', '64MiB'),
    '1MiB',
    'Largest frame a client may send; a larger one closes with 1009.',
  ),
  max_responses_in_flight: key(count(1, 10_000), 16, 'Most unfinished responses that one connection may have created.'),
  max_operations_in_flight: key(
    count(1, 1_000),
    32,
    'Most cancels, resumes and subscriptions of one connection in progress. At the limit, reading from the socket is paused until one is answered.',
  ),
  max_lanes: key(count(1, 10_000), 32, 'Most named lanes (`stream_id`) of one connection.'),
  outbound_buffer_bytes: key(
    size('16KiB', '64MiB'),
    '1MiB',
    'Most bytes that are buffered for a slow reader. At the limit, delivery to it is paused.',
  ),
  slow_reader_timeout: key(
    duration('1s', '10m'),
    '15s',
    'The connection of a reader without progress for this long is closed with 1013.',
  ),
  max_connection_age: optionalKey(
    duration('1m', '365d'),
    'no limit',
    'A connection older than this (+/-10 %) is closed with 1012, so that clients spread over new replicas.',
  ),
});

export const http = section('REST and server-sent events: limits, and proxies in front.', {
  trusted_proxies: key(
    list(addressRange, 'addresses and CIDR ranges such as `10.0.0.0/8`'),
    [],
    'Proxies whose `X-Forwarded-For` names the client. Limits on refused requests and on bodies count by that address then; without this, by the address of the connection.',
  ),
  max_body_bytes: key(size('1KiB', '64MiB'), '1MiB', 'Largest request body; a larger one is refused with 413.'),
  max_receiving_bytes: key(
    size('64KiB', '1024MiB'),
    '64MiB',
    'Bytes of request bodies that one replica receives at once; further bodies are refused with 503, and with 429 where one caller at one address holds a quarter of it.',
  ),
  request_timeout: key(
    duration('1s', '10m'),
    '30s',
    'How long a client may take to send a request, its body included; then it is refused with 408. Headers must arrive within 10 s.',
  ),
  sse_keep_alive: key(
    duration('1s', '10m'),
    '15s',
    'A silent SSE stream gets a comment line this often, so that proxies keep it open.',
  ),
  hsts: optionalKey(
    duration('1m', '730d'),
    'not sent',
    'How long browsers shall reach this host by HTTPS only (`strict-transport-security`, without subdomains). For gateways that every browser reaches through a proxy that ends TLS; browsers ignore it over plain HTTP.',
  ),
});
