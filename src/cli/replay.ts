/** `sgctl replay FILE…`: what rules would do to recorded traffic, or what other rules would do differently. */
import { Option, type Command } from 'commander';
import type { Config } from '../config/config.ts';
import type { Progress } from '../recorded/read-recordings.ts';
import type { Replayed } from '../replay/replay.ts';
import { printable } from '../source/excerpt.ts';
import { addAddressOption } from './address-option.ts';
import { loadPlaced } from './check.ts';
import { exitCodeHelp } from './exit-codes.ts';
import { loggedFields, readFields } from './flow-log-columns.ts';
import { wholeNumber } from './filter-options.ts';
import { INPUT_ARGUMENT } from './input-words.ts';
import { EXIT_FAILED, EXIT_OK, printError } from './output.ts';
import { ProgressLine, readText } from './progress-line.ts';
import { addTemplateOptions, type TemplateOptions } from './template-options.ts';
import { printJson } from './traffic-text.ts';

/** A configuration has errors, or not all could be read or judged, and what was is fine. */
const EXIT_NOT_ALL = 3;
const TOP = 20;
const TOP_MAX = 10_000;

interface ReplayCommandOptions extends TemplateOptions {
  readonly config: string;
  readonly against?: string;
  readonly format?: string;
  readonly top: number;
  readonly address?: ReadonlyMap<string, string>;
  readonly json?: true;
  readonly markdown?: true;
}

export function addReplayCommand(program: Command): void {
  const command = program
    .command('replay')
    .summary('what rules would do to recorded traffic')
    .description(
      'Judges the packets of captures (pcap, pcapng) and the records of flow logs by the rules of a configuration, at the time when they were seen: what would be dropped, at which gate, and which rule nearly admits it. With other rules beside, what these would decide differently.',
    )
    .argument(
      '<file...>',
      'captures, or flow logs as text or Parquet; packed by gzip or not; - is stdin',
    )
    .requiredOption('-c, --config <file>', INPUT_ARGUMENT)
    .option('--against <file>', 'another one: what it would decide differently')
    .option('--format <fields>', "fields of a flow log without a header line, as '${srcaddr} …'")
    .option(
      '--top <count>',
      'so many groups are told, those of most packets',
      wholeNumber(1, TOP_MAX),
      TOP,
    )
    .addOption(new Option('--json', 'print the result as JSON').conflicts('markdown'))
    .option('--markdown', 'print it for a pull request')
    .addHelpText(
      'after',
      `
Packets go through connection tracking, in order of time: an answer passes by
the connection that it is of. Of a flow log, who opened a flow is guessed: by TCP
flags, by ports, by order.

${exitCodeHelp('sgctl replay')}

Examples:
  sgctl replay web.pcap --config lab.yaml
  sgctl replay flow.log.gz --config account --against plan.json
  zcat logs/*.gz | sgctl replay - --config account --json`,
    );
  addAddressOption(addTemplateOptions(command)).action(runReplay);
}

async function runReplay(
  files: readonly string[],
  options: ReplayCommandOptions,
  command: Command,
): Promise<void> {
  const fields = await readFields(options.format, command);
  const given = [options.config, ...(options.against === undefined ? [] : [options.against])];
  const configs: Config[] = [];
  for (const input of given) {
    const loaded = await loadPlaced(input, options, command);
    if (loaded === undefined) {
      process.exitCode = EXIT_NOT_ALL;
      return;
    }
    configs.push(loaded);
  }
  const [config, against] = configs as [Config, Config?];
  const columns = fields ?? loggedFields(files, config);
  const { replay } = await import('../replay/replay.ts');
  const progress = new ProgressLine();
  let replayed: Awaited<ReturnType<typeof replay>>;
  try {
    replayed = await replay(files, {
      ...{
        config,
        top: options.top,
        onProgress: (now: Progress) => progress.tell(() => readText(now, 'judged')),
      },
      ...(against === undefined ? {} : { against }),
      ...(columns === undefined ? {} : { fields: columns }),
    });
  } finally {
    progress.clear();
  }
  if ('message' in replayed) {
    printError(new Error(`${printable(replayed.file)}: ${printable(replayed.message)}`));
    process.exitCode = EXIT_NOT_ALL;
    return;
  }
  process.exitCode = await print(replayed, options);
}

/** @returns the exit code */
async function print(replayed: Replayed, options: ReplayCommandOptions): Promise<number> {
  const { formatReplayed, isWhole, markdownOf, replayedJson, tellRecordings } =
    await import('./replay-output.ts');
  const isCompared = options.against !== undefined;
  const isRefused = isCompared
    ? replayed.findings.length > 0 || replayed.counts.absent.some((count) => count > 0)
    : replayed.refused.has('dropped');
  tellRecordings(replayed);
  if (options.json === true) printJson(replayedJson(replayed, isRefused));
  else
    console.log(
      options.markdown === true
        ? markdownOf(replayed, isCompared)
        : formatReplayed(replayed, isCompared),
    );
  if (isRefused) return EXIT_FAILED;
  return isWhole(replayed) ? EXIT_OK : EXIT_NOT_ALL;
}
