/*
 * Parses the commands that clients send to Redis: arrays of bulk strings. Does not parse replies.
 */

const CRLF = Buffer.from('\r\n');

/**
 * @returns {(bytes: Buffer) => void} a function for a connection's bytes, which calls `onCommand`
 * with the words of each command
 */
export function requestsIn(onCommand) {
  let pending = Buffer.alloc(0);
  return (bytes) => {
    pending = Buffer.concat([pending, bytes]);
    for (;;) {
      const read = commandAt(pending);
      if (read === undefined) return;
      pending = pending.subarray(read.end);
      onCommand(read.words);
    }
  };
}

/** Returns the command at the start of the bytes, or undefined if it is incomplete. */
function commandAt(bytes) {
  const count = lineAt(bytes, 0, '*');
  if (count === undefined) return undefined;
  const words = [];
  let at = count.end;
  for (let i = 0; i < count.value; i++) {
    const length = lineAt(bytes, at, '$');
    if (length === undefined || bytes.length < length.end + length.value + CRLF.length) return undefined;
    words.push(bytes.toString('utf8', length.end, length.end + length.value));
    at = length.end + length.value + CRLF.length;
  }
  return { words, end: at };
}

function lineAt(bytes, at, mark) {
  const end = bytes.indexOf(CRLF, at);
  if (end < 0) return undefined;
  const line = bytes.toString('latin1', at, end);
  if (line[0] !== mark) throw new Error(`unable to read a command; it begins with ${JSON.stringify(line)}`);
  return { value: Number(line.slice(1)), end: end + CRLF.length };
}
