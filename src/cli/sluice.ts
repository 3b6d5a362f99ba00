#!/usr/bin/env node
/*
 * The `sluice` program: runs a command with the process and exits with its code. Its modules are
 * loaded after the cache of compiled modules is in use.
 */

import { useCompileCache } from '../config/compile-cache.js';

useCompileCache();
const { runCli } = await import('./run-cli.js');
process.exitCode = await runCli(process.argv.slice(2), {
  env: process.env,
  cwd: process.cwd(),
  input: process.stdin,
  print: (line) => process.stdout.write(`${line}\n`),
  complain: (line) => process.stderr.write(`${line}\n`),
});
