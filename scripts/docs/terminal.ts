/**
 * Makes what docs/ shows of sgctl: brings the demo up as a lab, sends traffic through it, runs each command that
 * docs/sgctl.md has behind a `<!-- run -->` on a terminal, and puts what came out in the place of what stood there.
 * `top` and `trace` become pictures as well. Run by scripts/capture-terminal, as root.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DemoLab, LAB, SGCTL } from './demo-lab.ts';
import { plainText, terminalSvg } from './terminal-svg.ts';

const COLUMNS = 120;
const ROWS = 32;
const TRAFFIC_FIRST_MS = 6000;
/** How long a screen or a stream is watched. */
const WATCH_SECONDS = 4;
const BLOCK = /(<!-- run -->\n+```console[^\n]*\n)\$ ([^\n]+)\n[\s\S]*?```/g;

const root = resolve(process.argv[2] ?? '.');
/** What commands write, they write there. */
const folder = mkdtempSync(join(tmpdir(), 'sgd-docs-'));

/** Runs a command line on a terminal. @param keys what is typed after a while */
function onTerminal(command: string, keys: string): string {
  const line = command
    .replace('--write ', `--write ${folder}/`)
    .replace(/^sgctl (\S+( delete)?)/, `"${process.execPath}" "${SGCTL}" $1 --lab ${LAB}`);
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

const lab = new DemoLab(root);
try {
  lab.startTraffic();
  await sleep(TRAFFIC_FIRST_MS);
  writePictures();
  writeExamples();
} finally {
  lab.down();
  rmSync(folder, { recursive: true, force: true });
}
