/** `sgctl learn`: proposes the least groups for traffic that was seen, or says what of existing ones was not used. */
import type { Command } from 'commander';
import type { Config } from '../config/config.ts';
import type { Conversations } from '../learn/conversations.ts';
import type { Learnt } from '../learn/learn.ts';
import type { Owner } from '../learn/owners.ts';
import { printable } from '../source/excerpt.ts';
import { loadPlaced } from './check.ts';
import { exitCodeHelp } from './exit-codes.ts';
import { loggedFields, readFields } from './flow-log-columns.ts';
import type { Looked, Unreadable } from './learn-sources.ts';
import { addLearnOptions, thresholdsOf, type LearnOptions } from './learn-options.ts';
import { runLive } from './live.ts';
import { EXIT_FAILED, EXIT_OK, paint, printError } from './output.ts';
import { findSocket } from './socket.ts';
import { printJson } from './traffic-text.ts';

/** An input has errors, or not all could be read; what could be is proposed. */
const EXIT_NOT_ALL = 3;

export function addLearnCommand(program: Command): void {
  const command = program
    .command('learn')
    .summary('propose the least groups for traffic that was seen')
    .description(
      'Proposes security groups that admit the traffic that was seen and little more: of captures and flow logs, of interfaces of this host, or, without either, of the running daemon. Scanners, one-offs and what was never answered are set apart and told on stderr. With --tighten, it says which rules of existing groups were not used or could be narrower.',
    )
    .argument(
      '[file...]',
      'captures (pcap, pcapng), or flow logs as text or Parquet; packed by gzip or not; - is stdin',
    );
  addLearnOptions(command).addHelpText(
    'after',
    `
Each rule says in its description what it rests on. A rule admits at most
--widen-max times as many pairs (an interface, and who is at the other end) as were
seen; 1 admits just those. What was not seen is not in the proposal: look for as
long as it takes until everything has run.

${exitCodeHelp('sgctl learn')}

Examples:
  sgctl learn flow.log.gz --config lab.yaml > proposed.yaml
  sgctl learn flow-logs/*.gz --output terraform > groups.tf.json
  sgctl learn --live veth7 --own 172.18.0.0/16 --for 10m
  sgctl learn --for 1h --config /etc/secgroupd/config.yaml
  sgctl learn flow.log --tighten account`,
  );
  command.action(runLearn);
}

async function runLearn(
  files: readonly string[],
  options: LearnOptions,
  command: Command,
): Promise<void> {
  refuseOptions(files, options, command);
  const fields = await readFields(options.format, command);
  const input = options.tighten ?? options.config;
  const config = input === undefined ? undefined : await loadPlaced(input, options, command);
  if (input !== undefined && config === undefined) {
    process.exitCode = EXIT_NOT_ALL;
    return;
  }
  const columns = fields ?? loggedFields(files, config);
  const { Conversations: Memory } = await import('../learn/conversations.ts');
  const conversations = new Memory();
  const looked = await look(files, columns, options, conversations);
  if ('message' in looked) {
    printError(new Error(`${printable(looked.file)}: ${printable(looked.message)}`));
    process.exitCode = EXIT_NOT_ALL;
    return;
  }
  const { sortConversations } = await import('../learn/learn.ts');
  const given = config === undefined ? looked.owners : ownersOf(config);
  const learnt = sortConversations(conversations, {
    thresholds: thresholdsOf(options),
    ...(given === undefined || options.own !== undefined ? {} : { given }),
    ...(options.own === undefined ? {} : { blocks: options.own }),
  });
  if (typeof learnt === 'string') {
    printError(new Error(learnt));
    process.exitCode = EXIT_FAILED;
    return;
  }
  const code =
    options.tighten === undefined
      ? await printProposal(looked, learnt, conversations, config, options)
      : await printUses(looked, learnt, conversations, config!, options);
  // After Ctrl-C it is that already.
  process.exitCode ??= code;
}

function refuseOptions(
  files: readonly string[],
  { live, socket, lab, format }: LearnOptions,
  command: Command,
): void {
  if (files.length > 0 && live !== undefined)
    command.error('error: files are learnt from, or interfaces by --live, not both');
  const isDaemon = socket !== undefined || lab !== undefined;
  if (isDaemon && (files.length > 0 || live !== undefined))
    command.error(
      'error: --socket and --lab are for the running daemon; leave out the files and --live',
    );
  if (format !== undefined && files.length === 0)
    command.error('error: --format is for flow logs: name the files');
}

async function look(
  files: readonly string[],
  fields: readonly string[] | undefined,
  options: LearnOptions,
  conversations: Conversations,
): Promise<Looked | Unreadable> {
  if (files.length > 0) {
    const { lookAtFiles } = await import('./learn-sources.ts');
    return lookAtFiles(files, fields, conversations);
  }
  const done: { looked?: Looked } = {};
  await runLive(async ({ signal }) => {
    const { live, for: forMs } = options;
    if (live !== undefined) {
      const { lookLive } = await import('./learn-live.ts');
      done.looked = await lookLive(live, forMs, conversations, signal);
    } else {
      const { lookAtDaemon } = await import('./learn-daemon.ts');
      done.looked = await lookAtDaemon(findSocket(options), forMs, conversations, signal);
    }
  });
  return done.looked!;
}

/** All interfaces of an input; the platform's has no gate. */
function ownersOf({ model }: Config): readonly Owner[] {
  return [...model.interfaces.values()].flatMap(({ id, name, addresses, vpc, isPlatform }) =>
    isPlatform === true ? [] : [{ id, name, addresses, ...(vpc === undefined ? {} : { vpc }) }],
  );
}

/** @returns the exit code */
async function printProposal(
  looked: Looked,
  learnt: Learnt,
  conversations: Conversations,
  config: Config | undefined,
  options: LearnOptions,
): Promise<number> {
  const { propose } = await import('../learn/propose.ts');
  const { modelOf } = await import('../learn/proposal-model.ts');
  const report = await import('./learn-report.ts');
  const { anyone = [], anywhere = [], widenMax } = options;
  const thresholds = thresholdsOf(options);
  const open = [...anyone, ...anywhere];
  const proposed = propose(learnt.kept, learnt.owners, {
    ...{ factor: widenMax, open, ranges: learnt.ranges },
  });
  const model = modelOf(proposed, config?.model.interfaces ?? new Map());
  const risks = report.riskTexts(looked);
  const apart = report.apartTexts(learnt, thresholds);
  const notes = report.noteTexts(learnt, proposed, conversations);
  await tellDamage(looked);
  if (options.json === true) {
    const { lookedJson, proposedJson } = await import('./learn-json.ts');
    const told = lookedJson(looked, learnt, conversations, thresholds);
    printJson({ ...told, widenMax, notes, ...proposedJson(proposed, model) });
  } else if (learnt.kept.length > 0) {
    const { writeProposal } = await import('./learn-write.ts');
    const head = [`Proposed by sgctl learn from ${risks[0]}.`, `A rule admits at most ${widenMax} times as many pairs as were seen.`, ...risks.slice(1), ...apart, ...notes]; // prettier-ignore
    const written = await writeProposal(
      model,
      config,
      options.output ?? 'yaml',
      head.map(printable),
    );
    process.stdout.write(written.text);
    warn(written.losses);
  }
  if (options.json !== true) tell([...risks, ...apart, ...notes]);
  if (learnt.kept.length === 0) {
    printError(new Error('nothing was seen that rules could be proposed for'));
    return EXIT_FAILED;
  }
  return isWhole(looked) ? EXIT_OK : EXIT_NOT_ALL;
}

/** @returns the exit code */
async function printUses(
  looked: Looked,
  learnt: Learnt,
  conversations: Conversations,
  config: Config,
  options: LearnOptions,
): Promise<number> {
  const { findUses } = await import('../learn/tighten.ts');
  const { formatUses } = await import('./learn-uses.ts');
  const report = await import('./learn-report.ts');
  const thresholds = thresholdsOf(options);
  const findings = findUses(learnt, config.model, options.widenMax);
  await tellDamage(looked);
  if (options.json === true) {
    const { findingsJson, lookedJson } = await import('./learn-json.ts');
    const told = lookedJson(looked, learnt, conversations, thresholds);
    printJson({ ...told, rules: findingsJson(findings) });
  } else {
    console.log(formatUses(findings, report.riskTexts(looked)));
    tell(report.apartTexts(learnt, thresholds));
  }
  return isWhole(looked) && learnt.kept.length > 0 ? EXIT_OK : EXIT_NOT_ALL;
}

/** Says what of the files could not be read. */
async function tellDamage({ recordings }: Looked): Promise<void> {
  const { tellRecordings } = await import('./replay-output.ts');
  tellRecordings({ recordings });
}

function isWhole({ recordings, missed }: Looked): boolean {
  const isRead = recordings.every(
    ({ damage, badLines }) => badLines === 0 && (damage === undefined || damage.isCutOff === true),
  );
  return isRead && missed.length === 0;
}

function tell(lines: readonly string[]): void {
  for (const line of lines) console.error(printable(line));
}

function warn(lines: readonly string[]): void {
  for (const line of lines)
    console.error(`${paint('warning:', 'yellow', process.stderr)} ${printable(line)}`);
}
