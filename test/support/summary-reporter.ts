/**
 * A node:test reporter whose last line is `N passed, N failed, N skipped`.
 *
 * It counts tests, not the suites around them. A result with others inside it is not counted, unless it failed by
 * itself (a hook, its own body): that must not get lost. Skipped and todo tests count as skipped, never as passed,
 * whatever they returned. A suite that is skipped as a whole counts once, since its tests are never reported. With
 * node:test, a file without a test passes; here it counts for nothing, and is named.
 *
 * Each file gets a line when it is done, with the time that its tests took if that is long. The output of tests is passed
 * on. Failures and skips are listed at the end.
 */
import { relative } from 'node:path';
import { inspect } from 'node:util';
import type { TestEvent } from 'node:test/reporters';

interface Result {
  readonly name: string;
  readonly nesting: number;
  readonly file?: string;
  readonly line?: number;
  readonly skip?: string | boolean;
  readonly todo?: string | boolean;
  readonly details: {
    readonly type?: string;
    readonly duration_ms?: number;
    readonly error?: Error & { readonly failureType?: string; readonly cause?: unknown };
  };
}

/** Files that take as long are worth a look. */
const LONG_MS = 10_000;

type Outcome = 'passed' | 'failed' | 'skipped' | 'uncounted';

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** What one result adds to the counts; `hasChildren`: results came from inside it. */
function outcomeOf(result: Result, hasChildren: boolean, failed: boolean): Outcome {
  const isMarked = isSet(result.skip) || isSet(result.todo);
  const isSuite = result.details.type === 'suite';
  if (isMarked) return isSuite && hasChildren ? 'uncounted' : 'skipped';
  if (failed)
    return hasChildren && result.details.error?.failureType === 'subtestsFailed'
      ? 'uncounted'
      : 'failed';
  return isSuite || hasChildren || isFile(result) ? 'uncounted' : 'passed';
}

function isSet(mark: string | boolean | undefined): boolean {
  return mark !== undefined && mark !== false;
}

/** node:test speaks of a whole file as a test named after its path, when it ended badly or held no test. */
function isFile(result: Result): boolean {
  return result.nesting === 0 && result.name === result.file;
}

/** What is known so far. `path` holds, by nesting, the names of the tests and suites we are inside of. */
class Tally {
  readonly total: Counts = { passed: 0, failed: 0, skipped: 0 };
  readonly failures: string[] = [];
  readonly skips: string[] = [];
  readonly empty: string[] = [];
  private readonly path: string[] = [];
  private readonly children: number[] = [];
  private file: string | undefined;
  private inFile: Counts = { passed: 0, failed: 0, skipped: 0 };
  private inFileMs = 0;
  private pending: Counts = { passed: 0, failed: 0, skipped: 0 };

  start(name: string, nesting: number): void {
    this.path.length = nesting;
    this.path[nesting] = name;
  }

  /** Takes a result in; returns a line about the file before, if another one has begun. */
  add(result: Result, failed: boolean): string {
    const { nesting } = result;
    const hasChildren = (this.children[nesting + 1] ?? 0) > 0;
    this.children[nesting + 1] = 0;
    this.children[nesting] = (this.children[nesting] ?? 0) + 1;
    const outcome = outcomeOf(result, hasChildren, failed);
    if (outcome !== 'uncounted') {
      this.total[outcome]++;
      this.pending[outcome]++;
      this.note(result, outcome);
    } else if (isFile(result)) {
      this.empty.push(place(result));
    }
    return nesting === 0 ? this.closeTree(result) : '';
  }

  private note(result: Result, outcome: Outcome): void {
    const name = [
      ...this.path.slice(0, result.nesting),
      isFile(result) ? '(the file itself)' : result.name,
    ].join(' > ');
    if (outcome === 'failed')
      this.failures.push(`${place(result)}: ${name}\n${indent(errorText(result))}`);
    if (outcome === 'skipped') this.skips.push(`${place(result)}: ${name}: ${reasonOf(result)}`);
  }

  /** A result at the top belongs to `file`, and so does all that came from inside it. */
  private closeTree({ file, details }: Result): string {
    const line = this.changeFile(file);
    this.inFileMs += details.duration_ms ?? 0;
    for (const outcome of ['passed', 'failed', 'skipped'] as const)
      this.inFile[outcome] += this.pending[outcome];
    this.pending = { passed: 0, failed: 0, skipped: 0 };
    return line;
  }

  changeFile(file: string | undefined): string {
    if (file === this.file) return '';
    const { passed, failed, skipped } = this.inFile;
    const parts = [
      `${passed} ok`,
      failed > 0 ? `${failed} FAILED` : '',
      skipped > 0 ? `${skipped} skipped` : '',
    ];
    const [before, ms] = [this.file, this.inFileMs];
    const took = ms < LONG_MS ? '' : ` (${Math.round(ms / 1000)} s)`;
    this.file = file;
    this.inFileMs = 0;
    this.inFile = { passed: 0, failed: 0, skipped: 0 };
    return before === undefined
      ? ''
      : `${relative(process.cwd(), before)}: ${parts.filter((part) => part !== '').join(', ')}${took}\n`;
  }
}

function place(result: Result): string {
  if (result.file === undefined) return '(no file)';
  const file = relative(process.cwd(), result.file);
  return result.line === undefined || isFile(result) ? file : `${file}:${result.line}`;
}

function reasonOf(result: Result): string {
  if (typeof result.skip === 'string') return result.skip;
  if (typeof result.todo === 'string') return `todo: ${result.todo}`;
  return isSet(result.todo) ? 'todo' : 'no reason given';
}

function errorText(result: Result): string {
  const { error } = result.details;
  const cause: unknown = error?.cause ?? error;
  return cause instanceof Error
    ? (cause.stack ?? cause.message)
    : typeof cause === 'string'
      ? cause
      : inspect(cause);
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, '    ');
}

function section(title: string, entries: readonly string[]): string {
  return entries.length === 0
    ? ''
    : `\n${title}:\n${entries.map((entry) => `  ${entry}\n`).join('')}`;
}

/** What node:test calls; yields text. */
export default async function* summaryReporter(
  events: AsyncIterable<TestEvent>,
): AsyncGenerator<string, void> {
  const tally = new Tally();
  for await (const event of events) {
    switch (event.type) {
      case 'test:start':
        tally.start(event.data.name, event.data.nesting);
        break;
      case 'test:pass':
        yield tally.add(event.data, false);
        break;
      case 'test:fail':
        yield tally.add(event.data, true);
        break;
      case 'test:stdout':
      case 'test:stderr':
        yield event.data.message;
        break;
      default: // Plans, coverage and node's own counts, which count suites' results otherwise than we do.
        break;
    }
  }
  yield tally.changeFile(undefined);
  yield section('skipped', tally.skips);
  yield section('files without a test', tally.empty);
  yield section('failed', tally.failures);
  const { passed, failed, skipped } = tally.total;
  yield `\n${passed} passed, ${failed} failed, ${skipped} skipped\n`;
}
