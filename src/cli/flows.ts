/** `sgctl flows` and `sgctl flows delete`: what is tracked, and its end by hand. */
import { createInterface } from 'node:readline/promises';
import { Option, type Command } from 'commander';
import { ask } from '../control-socket/control-client.ts';
import {
  FLOWS_SHOWN,
  FLOWS_SHOWN_MAX,
  FLOW_OPENERS,
  FLOW_ORDERS,
  FLOW_STATES,
  type FlowFilter,
  type FlowsAnswer,
  type FlowsQuestion,
  type FlowView,
} from '../queries/flows-view.ts';
import { count } from '../source/count.ts';
import {
  addFilterOptions,
  choiceList,
  FILTER_HELP,
  parseDurationOption,
  readFilter,
  wholeNumber,
  type FilterOptions,
} from './filter-options.ts';
import { tableLines, type Column } from './fit-table.ts';
import { runLive, Screen, sleep } from './live.ts';
import { EXIT_FAILED, EXIT_SIGINT, EXIT_USAGE, paint } from './output.ts';
import { addSocketOptions, findSocket, type SocketOptions } from './socket.ts';
import {
  addTableOptions,
  chooseColumns,
  formatList,
  titlesOf,
  type TableOptions,
} from './table-options.ts';
import { endText, printJson, ruleWords } from './traffic-text.ts';
import { formatBytes, formatClock, formatCount, formatDuration } from './units.ts';
import { exitCodeHelp } from './exit-codes.ts';

interface FlowOptions extends FilterOptions, SocketOptions {
  readonly state?: readonly string[];
  readonly openedBy?: (typeof FLOW_OPENERS)[number];
  readonly idle?: number;
  readonly audit?: true;
}

interface ListOptions extends FlowOptions, TableOptions {
  readonly sort?: (typeof FLOW_ORDERS)[number];
  readonly limit: number;
  readonly watch?: true;
  readonly interval: number;
  readonly count?: number;
  readonly json?: true;
}

interface DeleteOptions extends FlowOptions {
  readonly all?: true;
  readonly yes?: true;
  readonly json?: true;
}

const WATCH_INTERVAL_MS = 2000;
const WATCH_INTERVAL_MIN_MS = 200;
const COUNT_MAX = 1_000_000_000;
const SAMPLES = 5;
/** The daemon ends a few hundred flows at a time: a million take a while. */
const DELETE_TIMEOUT_MS = 300_000;

export function addFlowsCommand(program: Command): void {
  const flows = program
    .command('flows')
    .summary('tracked connections, filtered and sorted')
    .description(
      'Lists the flows that the running daemon tracks, each with what it has carried, how long it has been idle, when it would time out, and the rule that admitted it. Between two interfaces here, each has an entry of its own.',
    )
    // So that `flows delete --interface web` is about the flows to delete.
    .enablePositionalOptions();
  addFlowOptions(flows)
    .addOption(new Option('--sort <order>', 'the most first').choices(FLOW_ORDERS))
    .addOption(
      new Option('-n, --limit <number>', 'show at most so many')
        .default(FLOWS_SHOWN)
        .argParser(wholeNumber(0, FLOWS_SHOWN_MAX)),
    )
    .option('-w, --watch', 'go on showing them until q or Ctrl-C')
    .addOption(
      new Option('--interval <duration>', 'with --watch: how often to look')
        .default(WATCH_INTERVAL_MS, '2s')
        .argParser(parseDurationOption),
    )
    .option(
      '-c, --count <number>',
      'with --watch: stop after so many looks',
      wholeNumber(1, COUNT_MAX),
    )
    .option('--json', 'print them as JSON; with --watch an object a line')
    .addHelpText(
      'after',
      `${FILTER_HELP}

${exitCodeHelp('sgctl flows')}

Examples:
  sgctl flows --interface eni-web-1 --proto tcp --state established --sort bytes
  sgctl flows --port 443 --address 10.0.0.0/8 --limit 20
  sgctl flows --state syn-sent,syn-received -w
  sgctl flows --json --limit 0 | jq .matched
  sgctl flows delete --remote 203.0.113.9`,
    )
    .action(listFlows);
  addTableOptions(flows, titlesOf(FLOW_COLUMNS));
  addSocketOptions(flows);
  addDeleteCommand(flows);
}

function addFlowOptions(command: Command): Command {
  return addFilterOptions(command)
    .addOption(choiceList('--state <state>', 'in this state', FLOW_STATES))
    .addOption(new Option('--opened-by <side>', 'opened by this side').choices(FLOW_OPENERS))
    .addOption(
      new Option('--idle <duration>', 'idle for at least so long: 30s, 5m, 2h').argParser(
        parseDurationOption,
      ),
    )
    .option('--audit', 'passing by audit alone: enforced, they would be dropped');
}

function addDeleteCommand(flows: Command): void {
  const command = flows
    .command('delete')
    .summary('end connections by hand')
    .description(
      'Ends the tracked flows that match: shows how many there are and asks before it does. A TCP connection that was ended is refused until it is opened anew by a SYN; packets of other protocols are judged by the rules as those of a new flow.',
    );
  addFlowOptions(command)
    .option('--all', 'all of them, where no filter is given')
    .option('-y, --yes', 'do not ask; for scripts')
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `${FILTER_HELP}

${exitCodeHelp('sgctl flows delete')}

Examples:
  sgctl flows delete --remote 203.0.113.9
  sgctl flows delete --rule sgr-0123456789abcdef0 --yes
  sgctl flows delete --interface eni-web-1 --idle 1h`,
    )
    .action(deleteFlows);
  addSocketOptions(command);
}

function readFlowFilter(options: FlowOptions): FlowFilter {
  return {
    ...readFilter(options),
    ...(options.state === undefined ? {} : { states: options.state }),
    ...(options.openedBy === undefined ? {} : { openedBy: options.openedBy }),
    ...(options.idle === undefined ? {} : { idleMs: options.idle }),
    ...(options.audit === undefined ? {} : { audit: true }),
  };
}

async function listFlows(options: ListOptions): Promise<void> {
  const socket = findSocket(options);
  const { sort, limit } = options;
  const question: FlowsQuestion = {
    ...readFlowFilter(options),
    ...(sort === undefined ? {} : { sort }),
    limit,
  };
  if (options.watch === true) {
    await watchFlows(socket, question, options);
    return;
  }
  const answer = await ask(socket, 'flows', question);
  if (options.json === true) printJson(answer);
  else console.log(formatFlows(answer, options));
}

async function watchFlows(
  socket: string,
  question: FlowsQuestion,
  options: ListOptions,
): Promise<void> {
  const { json, interval, count: most = Infinity } = options;
  const waitMs = Math.max(interval, WATCH_INTERVAL_MIN_MS);
  const isScreen = json !== true && process.stdout.isTTY;
  await runLive(async (stop) => {
    const screen = isScreen ? new Screen(stop) : undefined;
    screen?.open();
    try {
      for (let looks = 1; !stop.signal.aborted; looks++) {
        const answer = await ask(socket, 'flows', question);
        const title = `${formatClock(Date.now())}  ${matchedText(answer)}`;
        if (json === true) console.log(JSON.stringify(answer));
        else if (screen === undefined) console.log(`${title}\n${formatFlows(answer, options)}\n`);
        else screen.show(() => [title, '', ...flowLines(answer.flows, options, screen.columns)]);
        if (looks === most) break;
        await sleep(waitMs, stop.signal);
      }
    } finally {
      screen?.close();
    }
  });
}

async function deleteFlows(options: DeleteOptions, command: Command): Promise<void> {
  const filter = readFlowFilter(options);
  if (Object.keys(filter).length === 0 && options.all !== true)
    command.error('error: which flows? Give a filter, or --all for all of them');
  const socket = findSocket(options);
  const isInteractive = process.stdin.isTTY && process.stderr.isTTY;
  if (options.yes !== true && !isInteractive) {
    console.error('sgctl: there is nobody to ask: give --yes to end them without');
    process.exitCode = EXIT_USAGE;
    return;
  }
  const found = await ask(socket, 'flows', { ...filter, limit: SAMPLES });
  const answer = found.matched === 0 || options.yes === true ? 'yes' : await confirm(found);
  if (answer !== 'yes') {
    console.error('Nothing was ended.');
    process.exitCode = answer === 'interrupted' ? EXIT_SIGINT : EXIT_FAILED;
    return;
  }
  const { ended } =
    found.matched === 0 ? { ended: 0 } : await ask(socket, 'endFlows', filter, DELETE_TIMEOUT_MS);
  if (options.json === true) printJson({ matched: found.matched, ended });
  else console.log(`ended ${count(ended, 'flow')}`);
}

async function confirm({ matched, flows }: FlowsAnswer): Promise<'yes' | 'no' | 'interrupted'> {
  console.error(formatFlows({ matched, flows, hasAccounts: true }, {}));
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  const closed = new AbortController();
  let isInterrupted = false;
  prompt.once('SIGINT', () => {
    isInterrupted = true;
    closed.abort();
  });
  prompt.once('close', () => closed.abort());
  try {
    const question = `End ${count(matched, 'flow')}? [y/N] `;
    const answer = await prompt.question(question, { signal: closed.signal });
    return /^y(es)?$/i.test(answer.trim()) ? 'yes' : 'no';
  } catch {
    // The end of input is a no.
    return isInterrupted ? 'interrupted' : 'no';
  } finally {
    prompt.close();
  }
}

function matchedText({ matched, flows }: FlowsAnswer): string {
  const more = matched - flows.length;
  return more > 0 ? `${count(matched, 'flow')}, ${flows.length} shown` : count(matched, 'flow');
}

const FLOW_COLUMNS: readonly Column[] = [
  { title: 'interface', min: 10 },
  { title: 'rule', min: 12 },
  { title: 'state', leaves: 1 },
  { title: 'proto', leaves: 2 },
  { title: 'local', min: 15 },
  { title: 'remote', min: 15 },
  { title: 'idle', align: 'right', leaves: 3 },
  { title: 'bytes out/in', align: 'right', leaves: 4 },
  { title: 'packets out/in', align: 'right', leaves: 5 },
  { title: 'expires in', align: 'right', leaves: 6 },
  { title: 'opened by', leaves: 7 },
];

function flowRow(flow: FlowView): string[] {
  const { protocol, packetsOut, packetsIn, bytesOut, bytesIn } = flow;
  return [
    flow.interface,
    flow.rule === undefined ? '-' : ruleWords(flow.rule),
    flow.state,
    protocol,
    endText(protocol, flow.localAddress, flow.localPort),
    endText(protocol, flow.remoteAddress, flow.remotePort),
    formatDuration(flow.idleMs),
    bytesOut === undefined ? '-' : `${formatBytes(bytesOut)}/${formatBytes(bytesIn ?? 0)}`,
    packetsOut === undefined ? '-' : `${formatCount(packetsOut)}/${formatCount(packetsIn ?? 0)}`,
    formatDuration(flow.expiresInMs),
    flow.openedBy,
  ];
}

function flowLines(
  flows: readonly FlowView[],
  { columns: wanted }: TableOptions,
  width: number,
): readonly string[] {
  const [columns, rows] = chooseColumns(FLOW_COLUMNS, flows.map(flowRow), wanted);
  return tableLines(columns, rows, width);
}

function formatFlows(answer: FlowsAnswer, options: TableOptions): string {
  const { flows, matched } = answer;
  if (matched === 0) return 'no such flow is tracked';
  if (flows.length === 0) return count(matched, 'flow');
  const table = formatList(FLOW_COLUMNS, flows.map(flowRow), options);
  const more = matched - flows.length;
  if (more <= 0) return table;
  return `${table}\n${paint(`… and ${more} more (--limit shows up to ${FLOWS_SHOWN_MAX})`, 'dim')}`;
}
