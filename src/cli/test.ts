/** `sgctl test FILE`: holds a configuration against a file of expectations, offline and with real packets. */
import { writeFileSync } from 'node:fs';
import { InvalidArgumentError, type Command } from 'commander';
import { LabInterrupted, messageOf } from '../lab/errors.ts';
import type { Report } from '../reach/run.ts';
import type { Suite } from '../reach/suite.ts';
import { printProblems } from './check-text.ts';
import { count } from '../source/count.ts';
import { EXIT_FAILED, EXIT_OK, EXIT_SIGNAL_BASE, EXIT_USAGE, printError } from './output.ts';
import { printJson } from './traffic-text.ts';
import { exitCodeHelp } from './exit-codes.ts';

/** The file of expectations or the configuration is wrong: nothing could be tested. */
const EXIT_BAD_INPUT = 3;
/** The compiled rules and the reference contradict each other: sgctl itself is wrong. */
const EXIT_DISAGREEMENT = 4;

const NETNS_DIRECTORY = '/run/netns';
/** Nobody needs to be told about a wait of a second or two. */
const QUIET_MS = 2000;
const PROGRESS_INTERVAL_MS = 1000;
const SIGNAL_NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

interface TestOptions {
  readonly config?: string;
  readonly filter?: string;
  readonly live?: boolean;
  readonly lab?: string;
  readonly json?: boolean;
  readonly junit?: string;
  readonly excerpt: boolean;
}

export function addTestCommand(program: Command): void {
  program
    .command('test')
    .summary('hold a configuration against a file of expectations')
    .description(
      'Reads who should reach whom, and who should not, and tells whether the rules of a configuration have it so. Offline it reads files alone; with --live it also sends real packets, in a lab that it makes and removes.',
    )
    .argument('<file>', 'expectations (YAML)')
    .option('--config <file>', 'the configuration to test, in place of the one the file names')
    .option('--live', 'send real packets as well; needs what `sgctl lab up` needs')
    .option('--lab <name>', 'with --live: use this lab, which is up, instead of making one')
    .option('--filter <text>', 'only what has this text in its title or name', parseFilter)
    .option('--json', 'print the results as JSON on stdout')
    .option('--junit <file>', 'write the results as JUnit XML, too')
    .option('--no-excerpt', 'leave out the lines of the text when a file is wrong')
    .addHelpText(
      'after',
      `
What can't be tried with real packets is skipped with a reason, never passed.
docs/testing.md tells how to write expectations.

${exitCodeHelp('sgctl test')}

Examples:
  sgctl test config/demo.expect.yaml
  sgctl test config/demo.expect.yaml --filter 'web -> db'
  sgctl test config/demo.expect.yaml --live --junit results.xml`,
    )
    .action(runTest);
}

function parseFilter(text: string): string {
  if (text.trim() === '') throw new InvalidArgumentError('Give some text.');
  return text.trim();
}

async function runTest(file: string, options: TestOptions, command: Command): Promise<void> {
  if (options.lab !== undefined && !options.live)
    command.error('error: --lab is about real packets; give --live as well');
  const suite = await loadOrTell(file, options);
  if (suite === undefined) {
    process.exitCode = EXIT_BAD_INPUT;
    return;
  }
  const startedMs = performance.now();
  const report = await runOrTell(suite, options);
  if (report === undefined) return;
  const { passed, failed, skipped } = report.counts;
  if (passed + failed + skipped === 0) {
    console.error(`error: nothing in ${file} has '${options.filter ?? ''}' in its title or name`);
    process.exitCode = EXIT_USAGE;
    return;
  }
  await printReport(report, options);
  process.exitCode = exitCodeOf(report);
  if (options.junit !== undefined)
    await writeJunit(report, options.junit, (performance.now() - startedMs) / 1000);
}

export function exitCodeOf({ counts, hasDisagreement }: Report): number {
  if (hasDisagreement) return EXIT_DISAGREEMENT;
  return counts.failed > 0 ? EXIT_FAILED : EXIT_OK;
}

/** The loaders are read only when they are needed: other commands start in half the time without them. */
async function loadOrTell(file: string, options: TestOptions): Promise<Suite | undefined> {
  const { loadSuite } = await import('../reach/load-suite.ts');
  const { suite, problems } = loadSuite(file, {
    netnsDirectory: NETNS_DIRECTORY,
    ...(options.config === undefined ? {} : { configFile: options.config }),
  });
  if (suite !== undefined) return suite;
  if (options.json) printJson({ file, ok: false, problems });
  printProblems(problems, options.excerpt);
  console.error(`${file}: ${count(problems.length, 'error')}; nothing was tested`);
  return undefined;
}

/** Undefined if it failed as a whole, which has been told by then. */
async function runOrTell(suite: Suite, options: TestOptions): Promise<Report | undefined> {
  const { runSuite } = await import('../reach/run.ts');
  const filter = options.filter === undefined ? {} : { filter: options.filter };
  if (!options.live) return runSuite(suite, filter);
  const interrupt = new AbortController();
  let caught: keyof typeof SIGNAL_NUMBERS = 'SIGINT';
  const onSignal = (signal: keyof typeof SIGNAL_NUMBERS): void => {
    caught = signal;
    if (!interrupt.signal.aborted) console.error('sgctl: stopping, and undoing what was made…');
    interrupt.abort();
  };
  const signals = Object.keys(SIGNAL_NUMBERS) as (keyof typeof SIGNAL_NUMBERS)[];
  signals.forEach((signal) => process.on(signal, onSignal));
  const progress = new Progress();
  const { signal } = interrupt;
  try {
    const live = {
      labName: options.lab,
      signal,
      progress: (text: string) => progress.set(text),
    };
    return await runSuite(suite, { ...filter, live });
  } catch (thrown) {
    printError(thrown);
    process.exitCode =
      thrown instanceof LabInterrupted ? EXIT_SIGNAL_BASE + SIGNAL_NUMBERS[caught] : EXIT_FAILED;
    return undefined;
  } finally {
    progress.stop();
    signals.forEach((one) => process.off(one, onSignal));
  }
}

/** Tells on stderr where a long run is, once a second. */
class Progress {
  private text = 'making the lab';
  private told = '';
  private readonly startedMs = performance.now();
  private readonly timer = setInterval(() => this.tell(), PROGRESS_INTERVAL_MS);

  set(text: string): void {
    this.text = text;
  }

  private tell(): void {
    if (performance.now() - this.startedMs < QUIET_MS || this.text === this.told) return;
    this.told = this.text;
    console.error(`sgctl: ${this.text}…`);
  }

  stop(): void {
    clearInterval(this.timer);
  }
}

async function printReport(report: Report, { json }: TestOptions): Promise<void> {
  if (json) {
    const { reportJson } = await import('./test-json.ts');
    printJson(reportJson(report));
    return;
  }
  const { formatReport, textOptions } = await import('./test-text.ts');
  console.log(formatReport(report, textOptions(process.env, process.stdout.columns)));
}

async function writeJunit(report: Report, file: string, seconds: number): Promise<void> {
  const { reportJunit } = await import('./test-junit.ts');
  try {
    writeFileSync(file, reportJunit(report, seconds));
  } catch (thrown) {
    console.error(`error: cannot write ${file}: ${messageOf(thrown)}`);
    process.exitCode = EXIT_USAGE;
  }
}
