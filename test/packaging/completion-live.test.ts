/**
 * Names in completions, typed in the shells themselves, on a terminal: what Tab makes of a name is that name when the
 * line is run, and nothing that is written in it runs.
 */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { bashCompletion } from '../../src/cli/completion-bash.ts';
import { fishCompletion } from '../../src/cli/completion-fish.ts';
import { describeCommand } from '../../src/cli/completion-tree.ts';
import { zshCompletion } from '../../src/cli/completion-zsh.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { requireTools } from '../support/require.ts';
import { SGCTL } from '../support/sgctl.ts';
import { until } from '../support/until.ts';

const program = describeCommand(await buildProgram());
const PROMPT = 'READY> ';

const NAMES = [
  'xweb',
  'x b$(touch pwned)',
  'x`touch pwned`',
  `x;touch pwned;'"`,
  'x*?[a]{b,c}~',
  'x\\b!1',
  'x&touch pwned|<>#',
];

interface Shell {
  readonly files: Readonly<Record<string, string>>;
  readonly command: string;
}

const SHELLS: Readonly<Record<string, Shell>> = {
  bash: {
    files: {
      'sgctl.bash': bashCompletion(program),
      rc: `PS1='${PROMPT}'; bind 'set enable-bracketed-paste off'; source ./sgctl.bash\n`,
    },
    command: 'bash --noprofile --rcfile ./rc -i',
  },
  zsh: {
    files: {
      _sgctl: zshCompletion(program),
      '.zshrc': `PS1='${PROMPT}'; fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -d ./dump\nunsetopt prompt_cr prompt_sp\n`,
    },
    command: 'ZDOTDIR=$PWD zsh -i',
  },
  fish: {
    files: { 'sgctl.fish': fishCompletion(program) },
    command: `fish --no-config -i -C 'source ./sgctl.fish; function fish_prompt; echo -n "${PROMPT}"; end'`,
  },
};

/** What a shell on a terminal shows, and where it is typed. */
class Terminal {
  private readonly child: ChildProcess;
  private shown = '';

  constructor(t: TestContext, folder: string, command: string) {
    const path = `${folder}/bin:${process.env['PATH']}`;
    const own = { HOME: folder, TERM: 'dumb', PATH: path, SGCTL_COMPLETE_MS: '10000' };
    const env = { ...process.env, ...own };
    this.child = spawn('script', ['-qefc', command, '/dev/null'], { cwd: folder, env });
    this.child.stdout!.on('data', (data) => (this.shown += String(data)));
    t.after(() => this.child.kill('SIGKILL'));
  }

  type(text: string): void {
    this.child.stdin!.write(text);
  }

  async waitFor(what: string, isThere: (shown: string) => boolean): Promise<void> {
    await until(
      () => `${what}:\n${JSON.stringify(this.shown)}`,
      () => isThere(this.shown),
    );
  }
}

function makeFolder(t: TestContext, { files }: Shell): string {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-live-'));
  t.after(() => rmSync(folder, { recursive: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  // Asked for names it is sgctl; run, it writes down what it was given.
  const script = `#!/bin/sh
if [ "$1" = __complete ]; then exec "${process.execPath}" "${SGCTL}" "$@"; fi
printf '%s\\n' "$@" > ./given.part; mv ./given.part ./given\n`;
  mkdirSync(join(folder, 'bin'));
  writeFileSync(join(folder, 'bin', 'sgctl'), script);
  chmodSync(join(folder, 'bin', 'sgctl'), 0o755);
  return folder;
}

for (const [name, shell] of Object.entries(SHELLS)) {
  test(name, async (t) => {
    if (!requireTools(t, name, 'script')) return;
    const folder = makeFolder(t, shell);
    let group = '';
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', () => {
        const result = [{ name: 'other' }, { name: group }];
        socket.end(`${JSON.stringify({ version: 1, ok: true, result })}\n`);
      });
    });
    await new Promise<void>((resolve) => server.listen(join(folder, 's'), resolve));
    t.after(() => server.close());
    const terminal = new Terminal(t, folder, shell.command);
    const given = join(folder, 'given');
    for (group of NAMES) {
      await terminal.waitFor('the prompt', (shown) => shown.includes(PROMPT));
      terminal.type('sgctl rules --socket ./s --group x\t\r');
      await terminal.waitFor(`the command with ${group}`, () => existsSync(given));
      const words = readFileSync(given, 'utf8').split('\n').slice(0, -1);
      assert.deepEqual(words, ['rules', '--socket', './s', '--group', group]);
      rmSync(given);
    }
    assert.equal(readdirSync(folder).includes('pwned'), false);
  });
}
