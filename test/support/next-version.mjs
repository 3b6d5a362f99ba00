/*
 * Makes of this build the next minor version, as a replica loads it: one that adds what a minor
 * version may add, to whatever others read. Fields of every event, response, item and stored thing;
 * a kind of event, of item and of message that this build has never heard of; a field of each hash
 * in Redis. Loaded by `--import`; a place that is no longer there ends the process, so that nothing
 * is quietly left out.
 */

import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import process from 'node:process';
import { setTimeout } from 'node:timers';
import { fileURLToPath } from 'node:url';
import { isMainThread } from 'node:worker_threads';

const ADDED = "added_in: '1.1.0'";
const NOTE = "{ type: 'note', id: 'note_' + responseId, status: 'completed', text: null, added: { deep: [1] } }";

/** By file of the build: the current text, and that of the next version. */
const CHANGES = {
  'domain/event.js': [
    ['sequence_number: sequence, ...fields })', `sequence_number: sequence, ...fields, ${ADDED} })`],
    [',"logprobs":[]}`', ',"logprobs":[],"added_in":"1.1.0"}`'],
  ],
  'turn/turn.js': [["object: 'response',", `object: 'response', ${ADDED},`]],
  // A kind of event, and of output item before the answer: whatever comes then has another place.
  'turn/output-writer.js': [['#items = 0;', '#items = 1;']],
  'turn/answer.js': [
    [
      'facts.begun = true;',
      `const { responseId } = turn;
        journal.emit({ type: 'response.note.added', note: { text: 'of 1.1.0' } });
        journal.emit({ type: 'response.output_item.added', output_index: 0, item: { ...${NOTE}, status: 'in_progress' } });
        journal.emit({ type: 'response.content_part.added', item_id: 'note', output_index: 0, content_index: 0, part: { type: 'note_text', note: '' } });
        journal.emit({ type: 'response.note.delta', output_index: 0, delta: 'x' });
        journal.emit({ type: 'response.content_part.done', item_id: 'note', output_index: 0, content_index: 0, part: { type: 'note_text', note: 'x' } });
        journal.emit({ type: 'response.output_item.done', output_index: 0, item: ${NOTE} });
        facts.begun = true;`,
    ],
  ],
  'state/redis/log/sealed-log.js': [['JSON.stringify(head)', `JSON.stringify({ ...head, ${ADDED} })`]],
  'state/redis/conversation/redis-response-store.js': [
    ['JSON.stringify(stored)', `JSON.stringify({ ...stored, ${ADDED} })`],
  ],
  'state/redis/conversation/sealed-items.js': [
    ['const json = JSON.stringify(item);', `const json = JSON.stringify({ ...item, ${ADDED} });`],
  ],
  'state/redis/conversation/redis-conversation-announcements.js': [
    [
      "await commands.run(scripts.get('announce'), [keys.announced(conversationId)], args);",
      `const { subscriptions } = this.#options;
       await commands.call(subscriptions.publishCommand, keys.turns(conversationId), 'n{"of":"1.1.0"}');
       await commands.run(scripts.get('announce'), [keys.announced(conversationId)], args);`,
    ],
  ],
  'state/redis/scripts.js': [
    [
      "import.meta.url), 'utf8');",
      `import.meta.url), 'utf8')
         .replace("'nonce', ARGV[4],", "'nonce', ARGV[4], 'added_in', '1.1.0',")
         .replace("'metadata', ARGV[4])", "'metadata', ARGV[4], 'added_in', '1.1.0')")
         .replace("redis.call('HSET', KEYS[1], 'tokens',", "redis.call('HSET', KEYS[1], 'added_in', '1.1.0', 'tokens',");`,
    ],
  ],
};

const left = new Set(Object.keys(CHANGES));

registerHooks({
  load(url, context, next) {
    const file = Object.keys(CHANGES).find(
      (path) => url.startsWith('file:') && url.endsWith(`/${path}`) && !url.includes('node_modules'),
    );
    if (file === undefined) return next(url, context);
    let source = readFileSync(fileURLToPath(url), 'utf8');
    for (const [from, to] of CHANGES[file]) {
      if (!source.includes(from))
        throw new Error(`${file} has no longer ${from}; say here how the next version differs`);
      source = source.replace(from, to);
    }
    left.delete(file);
    return { format: 'module', source, shortCircuit: true };
  },
});

// When everything is loaded. A thread of it loads none of this.
setTimeout(() => {
  if (!isMainThread || left.size === 0) return;
  console.error(`the next version was never loaded from ${[...left].join(', ')}`);
  process.exit(70);
}, 5_000).unref();
