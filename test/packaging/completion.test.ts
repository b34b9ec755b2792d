/** Completion scripts, asked in the shells themselves. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { bashCompletion } from '../../src/cli/completion-bash.ts';
import { fishCompletion } from '../../src/cli/completion-fish.ts';
import { describeCommand } from '../../src/cli/completion-tree.ts';
import { zshCompletion } from '../../src/cli/completion-zsh.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { mustRun, run } from '../support/process.ts';
import { requireTools } from '../support/require.ts';

const program = describeCommand(await buildProgram());

function makeFolder(t: TestContext, files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-completion-'));
  t.after(() => rmSync(folder, { recursive: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return folder;
}

/** Words typed so far, the last being completed, and what is offered. FILES: names in the folder. */
const CASES: readonly (readonly [words: readonly string[], offers: readonly string[]])[] = [
  [['sgctl', 'che'], ['check']],
  [
    ['sgctl', 'lab', ''],
    ['down', 'env', 'exec', 'help', 'ls', 'up'],
  ],
  [['sgctl', 'lab', 'up', '--na'], ['--name']],
  // The value of an option is nothing to complete, and what follows it is.
  [['sgctl', 'lab', 'up', '--name', ''], []],
  [
    ['sgctl', 'lab', 'up', '--name', 'x', '--tim'],
    ['--time-scale', '--timeout'],
  ],
  [
    ['sgctl', 'explain', '--family', ''],
    ['4', '6'],
  ],
  [
    ['sgctl', 'completion', ''],
    ['bash', 'fish', 'zsh'],
  ],
  [['sgctl', 'check', 'de'], ['demo.yaml']],
  [['sgctl', 'check', '--strict', 'de'], ['demo.yaml']],
  [['sgctl', 'test', '--junit', 'de'], ['demo.yaml']],
];

test('bash', async (t) => {
  const folder = makeFolder(t, { 'sgctl.bash': bashCompletion(program), 'demo.yaml': '' });
  for (const [words, offers] of CASES) {
    // compopt works inside a completion only.
    const script = `source ./sgctl.bash; compopt() { :; }; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
      _sgctl; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const printed = await mustRun('bash', ['-c', script, 'bash', ...words], { cwd: folder });
    assert.deepEqual(printed.split('\n').filter(Boolean).sort(), offers, words.join(' '));
  }
});

test('fish', async (t) => {
  if (!requireTools(t, 'fish')) return;
  const folder = makeFolder(t, { 'sgctl.fish': fishCompletion(program), 'demo.yaml': '' });
  for (const [words, offers] of CASES) {
    const line = words.join(' ');
    const printed = await mustRun(
      'fish',
      ['--no-config', '-c', `source ./sgctl.fish; complete -C '${line}'`],
      { cwd: folder, env: { ...process.env, HOME: folder } },
    );
    const offered = printed
      .split('\n')
      .filter(Boolean)
      .map((text) => text.split('\t')[0]);
    assert.deepEqual(offered.sort(), offers, line);
  }
});

/** A second zsh in a terminal of its own, since completion works in an interactive one only. */
const ASK_ZSH = `zmodload zsh/zpty; zpty z zsh -f -i
tell() { zpty -w z "$1"; }
tell "PS1= ; fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -d $PWD/dump"
tell "zstyle ':completion:*' verbose no; unsetopt prompt_cr prompt_sp list_ambiguous"
# The prompt is drawn when the line editor listens. In pieces: the echo of the command must not look like it.
tell "PS1=REA''DY"
zpty -r z line '*READY*'
zpty -n -w z "$1"$'\\t'
zpty -w z $'\\C-u'exit
while zpty -r z line 2>/dev/null; do print -rn -- "$line"; done`;

test('zsh', async (t) => {
  if (!requireTools(t, 'zsh')) return;
  const folder = makeFolder(t, { _sgctl: zshCompletion(program), 'demo.yaml': '' });
  assert.deepEqual(await run('zsh', ['-n', '_sgctl'], { cwd: folder }), {
    code: 0,
    signal: null,
    stdout: '',
    stderr: '',
    timedOut: false,
  });
  for (const [words, offers] of CASES) {
    const line = words.join(' ');
    const { stdout } = await run('zsh', ['-f', '-c', ASK_ZSH, 'zsh', line], { cwd: folder });
    // Down to what a terminal shows, after the line that was typed.
    const shown = stdout.replace(/\x1b\[[\d;?]*[A-Za-z]|[\r\x07\b]/g, '');
    const after = shown.split(words.slice(0, -1).join(' ')).slice(1).join(' ');
    for (const offer of offers)
      assert.ok(
        after.split(/\s+/).includes(offer),
        `${line}: ${offer} is not in ${JSON.stringify(after)}`,
      );
  }
});
