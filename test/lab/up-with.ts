/**
 * Not a test: `node up-with.js FILE NAME TIMEOUT_MS SCRIPT` makes a lab with a shell script for a
 * daemon, so that a test can make the daemon fail in ways the real one does not.
 */
import { loadConfig } from '../../src/config/load-config.ts';
import { messageOf } from '../../src/lab/errors.ts';
import { NAMED_DIRECTORY } from '../../src/lab/namespaces.ts';
import { upLab } from '../../src/lab/up.ts';

const [file = '', name = '', timeoutMs = '', script = ''] = process.argv.slice(2);
const { config, problems } = loadConfig(file, { netnsDirectory: NAMED_DIRECTORY });
if (config === undefined) throw new Error(JSON.stringify(problems));
try {
  await upLab({
    config,
    file,
    name,
    timeoutMs: Number(timeoutMs),
    signal: new AbortController().signal,
    daemonCommand: ['sh', '-c', script],
  });
} catch (thrown) {
  console.error(messageOf(thrown));
  process.exitCode = 1;
}
