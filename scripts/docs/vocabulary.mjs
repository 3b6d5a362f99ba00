/*
 * Reports words of the deny list in comments, messages, test titles and documents, each with its
 * replacement. Rules: CONTRIBUTING.md, "Writing". `node scripts/docs/vocabulary.mjs [PATH ...]`
 * checks the files below the given paths; without a path every tracked text file.
 */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { ROOT } from '../lib/prepare.mjs';

/**
 * Expression and replacement. Actors are named: client, caller, replica, viewer, provider,
 * operator.
 */
const DENIED = [
  [/\bwhoever\b/i, 'name the actor'],
  [/\bsomebody(?: else)?\b/i, 'name the actor'],
  [/\bnobody(?: else)?\b/i, '"no client", "no replica", "no other caller"'],
  [/\banew\b/i, 'again'],
  [/\b(?:is|are|was|were|be|been|being) told\b/i, 'receives, is sent, is notified'],
  [/\btold\b/i, 'sent, reported, logged'],
  [/\bstands\b|\bstand (?:in|there|for|under|at|on)\b/i, 'is, is stored in, is listed in, means'],
  [/\bhears\b|\bhear of\b/i, 'receives, learns'],
  [/\btells\b/i, 'sends, reports, shows, distinguishes'],
  [/\bgo(?:es)? on\b/i, 'continues, resumes'],
  [/\b(?:lets?|letting) go\b/i, 'release, drop'],
  [/\bpatiently\b/i, 'with retries'],
  [/\bas it had not\b/i, 'state the condition'],
  [/\bforesaw\b/i, 'unexpected'],
  [/\bleft alone\b/i, 'is paused, is ignored'],
  [/\bpass(?:es|ed)? over\b/i, 'ignores, skips'],
  [/\bin vain\b/i, 'without success'],
  [/\bwithout a word\b/i, 'silently'],
  [/\bbefall/i, 'happen to'],
  [/\b(?:anybody|everybody|anyone)\b/i, 'name the actor: every client, any replica'],
  [/\b(?:is|are|was|were) asked\b/i, 'is requested, is called, is sent'],
  [/\b(?:is|are|was|were) looked at\b/i, 'is read, is checked'],
  [/\bgoodbyes?\b/i, 'close, close frame'],
  [/\bas (?:it|they) stands?\b/i, 'as it is, in its current state'],
  [/\bgo(?:es)? first\b/i, 'takes precedence'],
  [/\bgo(?:es)? away\b/i, 'disconnects, is deleted'],
  [/\bin mid-\w+/i, 'in the middle of'],
  [/\bfor good\b/i, 'permanently'],
  [/\bas ever\b/i, 'as before'],
  [/\b(?:of|to|from) whom\b/i, 'name the actor'],
  [/\bis no more\b/i, 'is gone, has ended'],
  [/\bcomes? to nothing\b/i, 'has no effect'],
];
const EXTENSIONS = /\.(?:ts|tsx|mjs|md|yaml|sh|lua|css|html)$/;
/** The deny list itself, and texts that customers and models read. */
const EXCEPT = /^(?:scripts\/docs\/vocabulary\.mjs|packs\/|test\/fixtures\/|LICENSE)/;

const paths = process.argv.slice(2);
const tracked = execFileSync('git', ['ls-files', '-z', ...paths], { cwd: ROOT, encoding: 'utf8' }).split('\0');
const files = tracked.filter((file) => EXTENSIONS.test(file) && !EXCEPT.test(file));

/** A line of a comment. Tables, lists of the layers and addresses are not wrapped. */
const COMMENT = /^\s*(?:\/\/|\/\*\*?|\*) /;
const NOT_WRAPPED = / \| |\|--|https?:\/\/|^\s*\* {2,}/;
const COLUMNS = 100;

let found = 0;
for (const file of files) {
  for (const [i, line] of readFileSync(`${ROOT}/${file}`, 'utf8').split('\n').entries()) {
    if (/\.(?:ts|tsx|mjs)$/.test(file) && line.length > COLUMNS && COMMENT.test(line) && !NOT_WRAPPED.test(line)) {
      found += 1;
      console.log(`${file}:${i + 1}: this line of a comment has ${line.length} columns; wrap it at ${COLUMNS}`);
    }
    for (const [word, replacement] of DENIED) {
      const match = word.exec(line);
      if (match === null) continue;
      found += 1;
      console.log(`${file}:${i + 1}: "${match[0]}" is on the deny list; use: ${replacement}`);
    }
  }
}
console.log(`vocabulary: ${files.length} files read, ${found} findings`);
process.exitCode = found === 0 ? 0 : 1;
