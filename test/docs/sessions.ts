/**
 * Reads the commands out of a page: fenced blocks, what is to be run, what it should print, and which files it needs.
 * The convention is told in CONTRIBUTING.md, "Docs".
 */
import { NOT_RUN } from './not-run.ts';

export interface Command {
  /** Line of the page, from 1. */
  readonly line: number;
  readonly text: string;
  /** Undefined: the page shows no output, or a sample of it, and none is compared. */
  readonly output: readonly string[] | undefined;
}

/** Commands that are run together. */
export interface CommandBlock {
  readonly kind: 'commands';
  readonly line: number;
  readonly needsRoot: boolean;
  readonly tools: readonly string[];
  readonly exitCode: number;
  /** For how long each command is repeated until it does as shown. */
  readonly waitMs: number;
  readonly commands: readonly Command[];
}

/** A file that the page shows, or a change to one. */
export interface FileBlock {
  readonly kind: 'file' | 'patch';
  readonly line: number;
  readonly name: string;
  readonly text: string;
}

export interface NotRunBlock {
  readonly kind: 'not-run';
  readonly line: number;
  readonly reason: string;
  readonly text: string;
}

export type Block = CommandBlock | FileBlock | NotRunBlock;

export interface Session {
  readonly blocks: readonly Block[];
  /** What breaks the convention: `LINE: what and what to do`. */
  readonly breaches: readonly string[];
}

interface Fence {
  readonly line: number;
  readonly language: string;
  readonly words: readonly string[];
  readonly lines: readonly string[];
}

const SHELL_LANGUAGES = new Set(['sh', 'bash', 'zsh', 'shell', 'shell-session', 'terminal']);
/** What looks like a command where none should stand. */
const COMMAND_LINE = /^(?:\$ |(?:sudo|sgctl|secgroupd) )/;
const CONSOLE = 'console';
const MS_PER_S = 1000;

export function readSession(page: string): Session {
  const blocks: Block[] = [];
  const breaches: string[] = [];
  for (const fence of readFences(page)) {
    const tell = (text: string, line = fence.line): void => void breaches.push(`${line}: ${text}`);
    const block = readBlock(fence, tell);
    if (block !== undefined) blocks.push(block);
  }
  return { blocks, breaches };
}

/** Fences as CommonMark has them (section 4.5); those in lists lose their indentation. */
function readFences(page: string): Fence[] {
  const fences: Fence[] = [];
  const lines = page.split('\n');
  for (let i = 0; i < lines.length; i++) {
    const open = /^( *)(`{3,}|~{3,})\s*([^`]*)$/.exec(lines[i]);
    if (open === null) continue;
    const [, indent, mark, info] = open;
    const body: string[] = [];
    const start = i;
    for (i += 1; i < lines.length && !isClosing(lines[i], mark); i++)
      body.push(lines[i].startsWith(indent) ? lines[i].slice(indent.length) : lines[i]);
    const [language = '', ...words] = info.trim().split(/\s+/);
    fences.push({ line: start + 1, language, words, lines: body });
  }
  return fences;
}

function isClosing(line: string, mark: string): boolean {
  const text = line.trim();
  return text.length >= mark.length && text === mark[0].repeat(text.length);
}

type Tell = (text: string, line?: number) => void;

function readBlock(fence: Fence, tell: Tell): Block | undefined {
  const { line, language, words, lines } = fence;
  const text = lines.map((one) => `${one}\n`).join('');
  const settings = new Map(words.map((word) => splitSetting(word)));
  if (settings.has('norun')) {
    const reason = settings.get('reason') ?? '';
    if (!Object.hasOwn(NOT_RUN, reason))
      tell(
        `'${reason}' is no reason of test/docs/not-run.ts; there are: ${Object.keys(NOT_RUN).join(', ')}`,
      );
    return { kind: 'not-run', line, reason, text };
  }
  if (SHELL_LANGUAGES.has(language) && !settings.has('file')) {
    tell(`nothing runs a block of ${language}: write it as console, or say norun reason=KEY`);
    return undefined;
  }
  if (language === CONSOLE) return readCommands(fence, settings, tell);
  const shown = lines.findIndex((one) => COMMAND_LINE.test(one));
  if (['', 'text', 'txt'].includes(language) && shown >= 0)
    tell('commands stand in a block of console', line + 1 + shown);
  const name = settings.get('file');
  if (name === undefined) return undefined;
  if (name === '' || name.startsWith('/') || name.split('/').includes('..'))
    tell(`file=${name}: a name below the page's folder`);
  return { kind: language === 'diff' ? 'patch' : 'file', line, name, text };
}

function splitSetting(word: string): [string, string] {
  const at = word.indexOf('=');
  return at < 0 ? [word, ''] : [word.slice(0, at), word.slice(at + 1)];
}

function readCommands(
  fence: Fence,
  settings: ReadonlyMap<string, string>,
  tell: Tell,
): CommandBlock {
  for (const key of settings.keys())
    if (!['root', 'needs', 'exit', 'wait', 'sample'].includes(key))
      tell(`console has no setting '${key}'`);
  const number = (key: string): number => {
    const text = settings.get(key) ?? '0';
    if (!/^\d+$/.test(text)) tell(`${key}=${text} is no number`);
    return Number(text);
  };
  const commands: { line: number; text: string; output: string[] | undefined }[] = [];
  fence.lines.forEach((line, i) => {
    const last = commands.at(-1);
    if (line.startsWith('$ '))
      commands.push({ line: fence.line + 1 + i, text: line.slice(2), output: undefined });
    else if (last === undefined)
      tell('a console block starts with "$ COMMAND"', fence.line + 1 + i);
    else if (line.startsWith('> ') && last.output === undefined) last.text += `\n${line.slice(2)}`;
    else (last.output ??= []).push(line);
  });
  if (commands.length === 0) tell('no command in it');
  return {
    kind: 'commands',
    line: fence.line,
    needsRoot: settings.has('root'),
    tools: (settings.get('needs') ?? '').split(',').filter((tool) => tool !== ''),
    exitCode: number('exit'),
    waitMs: number('wait') * MS_PER_S,
    commands: settings.has('sample')
      ? commands.map(({ line, text }) => ({ line, text, output: undefined }))
      : commands,
  };
}

/**
 * Changes a text by a diff without line numbers: in each hunk (they are parted by `@@` lines) the lines with ` ` and `-` must be
 * there together, once, and become those with ` ` and `+`.
 * @throws Error with the hunk that does not fit
 */
export function applyPatch(text: string, patch: string): string {
  let result = text;
  for (const hunk of patch.split(/^@@.*\n/m)) {
    const lines = hunk.split('\n').filter((line) => line !== '');
    if (lines.length === 0) continue;
    const side = (dropped: string): string =>
      lines
        .filter((line) => !line.startsWith(dropped))
        .map((line) => `${line.slice(1)}\n`)
        .join('');
    const before = side('+');
    const at = `\n${result}`.indexOf(`\n${before}`);
    const last = `\n${result}`.lastIndexOf(`\n${before}`);
    if (before === '' || at < 0 || at !== last)
      throw new Error(`the change fits ${at < 0 ? 'nowhere' : 'several places'}:\n${hunk}`);
    result = result.slice(0, at) + side('-') + result.slice(at + before.length);
  }
  return result;
}
