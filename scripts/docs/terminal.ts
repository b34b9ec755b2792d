/**
 * Makes what docs/ shows of sgctl: brings the demo up as a lab, sends traffic through it, runs each command that
 * docs/sgctl.md has behind a `<!-- run -->` on a terminal, and puts what came out in the place of what stood there.
 * `top` and `trace` become pictures as well. Run by scripts/capture-terminal, as root.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { plainText, terminalSvg } from './terminal-svg.ts';

const LAB = 'docs';
const COLUMNS = 120;
const ROWS = 32;
const TRAFFIC_FIRST_MS = 6000;
/** How long a screen or a stream is watched. */
const WATCH_SECONDS = 4;
const BLOCK = /(<!-- run -->\n+```console[^\n]*\n)\$ ([^\n]+)\n[\s\S]*?```/g;

const root = resolve(process.argv[2] ?? '.');
const sgctl = fileURLToPath(new URL('../../src/cli/sgctl.js', import.meta.url));
/** What commands write, they write there. */
const folder = mkdtempSync(join(tmpdir(), 'sgd-docs-'));
const started: ChildProcess[] = [];

function run(...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [sgctl, ...args], {
    cwd: root,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`sgctl ${args.join(' ')}: ${stderr}`);
  return stdout;
}

function inNamespace(name: string, script: string): void {
  started.push(
    spawn('ip', ['netns', 'exec', name, 'sh', '-c', script], { stdio: 'ignore', detached: true }),
  );
}

function serve(name: string, port: number): void {
  const server = `require('http').createServer((q, a) => a.end(Buffer.alloc(Number(q.url.slice(1)) || 100))).listen(${port}, '::')`;
  inNamespace(name, `exec "${process.execPath}" -e "${server}"`);
}

/** A web server that strangers use, and try more on than they should; an application behind it, and its database. */
function startTraffic(): void {
  serve('sgd-web', 443);
  serve('sgd-app', 8080);
  serve('sgd-db', 5432);
  const forever = (name: string, ...commands: readonly string[]): void =>
    inNamespace(name, `while :; do ${commands.join('; ')}; done`);
  forever('sgd-outside', 'curl -so /dev/null http://10.0.0.11:443/40000', 'sleep 0.1');
  forever('sgd-outside', 'curl -m 0.3 -so /dev/null http://10.0.0.13:5432/', 'sleep 1');
  forever('sgd-outside', 'curl -m 0.3 -so /dev/null http://10.0.0.11:22/', 'sleep 0.7');
  forever('sgd-web', 'curl -so /dev/null http://10.0.0.12:8080/2000000', 'sleep 0.2');
  forever('sgd-web', 'ping -qc 5 -i 0.5 10.0.0.12 >/dev/null');
  forever('sgd-app', "curl -gso /dev/null 'http://[fd00:10::13]:5432/9000'", 'sleep 0.5');
}

/** Runs a command line on a terminal. @param keys what is typed after a while */
function onTerminal(command: string, keys: string): string {
  const line = command
    .replace('--write ', `--write ${folder}/`)
    .replace(/^sgctl (\S+( delete)?)/, `"${process.execPath}" "${sgctl}" $1 --lab ${LAB}`);
  const typed = `(sleep ${WATCH_SECONDS}; printf '${keys}')`;
  const { stdout } = spawnSync(
    'sh',
    ['-c', `${typed} | script -qefc 'stty rows ${ROWS} cols ${COLUMNS} -echo; ${line}' /dev/null`],
    { cwd: root, encoding: 'utf8', env: { ...process.env, TERM: 'xterm' }, maxBuffer: 1 << 26 },
  );
  return stdout.replaceAll(`${root}/`, '');
}

function capture(command: string): string {
  // Watched ones end by a signal, questions by an answer: `y` does nothing to the others.
  const isWatching = /^sgctl trace/.test(command);
  const text = onTerminal(isWatching ? `${command} --duration ${WATCH_SECONDS}s` : command, 'y\\n');
  return plainText(text).trimEnd();
}

/** The last whole screen of `top`, and what `trace` shows, as text and as pictures. */
function writePictures(): void {
  const directory = join(root, 'docs/terminal');
  mkdirSync(directory, { recursive: true });
  const home = `${String.fromCharCode(27)}[H`;
  const frames = onTerminal('sgctl top', 'q').split(home);
  const top = frames.filter((frame) => frame.includes('q: quit')).at(-1) ?? '';
  const trace = onTerminal(`sgctl trace --duration ${WATCH_SECONDS}s`, '');
  for (const [name, text] of [
    ['top', top],
    ['trace', trace],
  ] as const) {
    const all = text.trimEnd().split('\n');
    const lines = all.filter((line) => plainText(line) !== '' || name === 'top').slice(0, ROWS);
    writeFileSync(join(directory, `${name}.svg`), terminalSvg(lines, COLUMNS));
    writeFileSync(join(directory, `${name}.txt`), `${plainText(lines.join('\n')).trimEnd()}\n`);
  }
}

function writeExamples(): void {
  const file = join(root, 'docs/sgctl.md');
  const text = readFileSync(file, 'utf8').replaceAll(
    BLOCK,
    (_block, head: string, command: string) => `${head}$ ${command}\n${capture(command)}\n\`\`\``,
  );
  writeFileSync(file, text);
}

run('lab', 'up', 'config/demo.yaml', '--name', LAB);
try {
  startTraffic();
  await sleep(TRAFFIC_FIRST_MS);
  writePictures();
  writeExamples();
} finally {
  for (const { pid } of started) {
    try {
      if (pid !== undefined) process.kill(-pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  }
  run('lab', 'down', LAB);
  rmSync(folder, { recursive: true, force: true });
}
