/** `sgctl drops`: what was dropped, why, and the latest examples. */
import type { Command } from 'commander';
import { ask } from '../control-socket/control-client.ts';
import type { DropCount, DropsAnswer, DropsQuestion } from '../queries/drops-view.ts';
import { CHATTER, REASON_NAMES } from '../queries/verdict-view.ts';
import { choiceList, parseDurationOption, wholeNumber } from './filter-options.ts';
import { cut, formatFitted, terminalColumns } from './fit-table.ts';
import { paint } from './output.ts';
import { followVerdicts } from './trace.ts';
import { addSocketOptions, findSocket, type SocketOptions } from './socket.ts';
import { printJson, verdictText } from './traffic-text.ts';
import { formatAgo, formatCount } from './units.ts';
import { printable } from '../source/excerpt.ts';
import { exitCodeHelp } from './exit-codes.ts';
import { count as countOf } from '../source/count.ts';

interface Options extends SocketOptions {
  readonly interface?: readonly string[];
  readonly direction?: readonly string[];
  readonly reason?: readonly string[];
  readonly since?: number;
  readonly examples: number;
  readonly follow?: true;
  readonly audit?: true;
  readonly count?: number;
  readonly duration?: number;
  readonly json?: true;
}

const EXAMPLES_DEFAULT = 3;
const EXAMPLES_MAX = 8;
const COUNT_MAX = 1_000_000_000;

export function addDropsCommand(program: Command): void {
  const command = program
    .command('drops')
    .summary('what was dropped, why, and the latest examples')
    .description(
      'Counts what was dropped since the daemon started by interface, direction and reason, says what each reason means, and shows the latest packets of each. `sgctl explain --drop` with the number of one tells what the rules say of it.',
    )
    .option(
      '-i, --interface <name>',
      'at this interface (or uplink); may be given more than once',
      (text: string, before: readonly string[] | undefined) => [...(before ?? []), text],
    )
    .addOption(choiceList('--direction <direction>', 'in this direction', ['ingress', 'egress']))
    .addOption(choiceList('--reason <reason>', 'for this reason', REASON_NAMES))
    .option('--since <duration>', 'examples of the last 30s, 5m, 2h only', parseDurationOption)
    .option(
      '--examples <number>',
      'examples of each kind',
      wholeNumber(0, EXAMPLES_MAX),
      EXAMPLES_DEFAULT,
    )
    .option('--audit', 'what passes by audit alone and would be dropped, in place of drops')
    .option('-f, --follow', 'show each drop as it falls, as trace does, until Ctrl-C')
    .option('-c, --count <number>', 'with --follow: stop after so many', wholeNumber(1, COUNT_MAX))
    .option('--duration <duration>', 'with --follow: stop after 30s, 5m, 2h', parseDurationOption)
    .option('--json', 'print them as JSON; with --follow an object a line')
    .addHelpText(
      'after',
      `
What hosts send to their own link (router solicitations, reports of groups, ARP)
is neither shown nor counted as dropped, unless --reason link-scope asks for it.
docs/drop-reasons.md has all reasons. With --audit all packets of such a flow
count, both ways, and its first one is the example.

${exitCodeHelp('sgctl drops')}

Examples:
  sgctl drops
  sgctl drops --interface eni-web-1 --reason ingress-rules --since 5m
  sgctl drops --follow --reason ingress-rules --count 20
  sgctl drops --audit
  sgctl explain --drop 17`,
    );
  addSocketOptions(command).action(async (options: Options) => {
    if (options.follow === true) {
      const { sinceMs: _, ...question } = readQuestion(options);
      const { audit, ...traffic } = question;
      const reasons = question.reasons ?? REASON_NAMES.filter((name) => name !== CHATTER);
      const verdict = audit === true ? 'audited' : 'dropped';
      const wanted = { ...traffic, reasons, verdict } as const;
      await followVerdicts(findSocket(options), wanted, options);
      return;
    }
    const answer = await ask(findSocket(options), 'drops', readQuestion(options));
    if (options.json === true) printJson(answer);
    else console.log(formatDrops(answer, options.examples, options.audit));
  });
}

function readQuestion(options: Options): DropsQuestion {
  const { interface: interfaces, direction, reason, since, audit } = options;
  return {
    ...(audit === undefined ? {} : { audit }),
    ...(interfaces === undefined ? {} : { interfaces }),
    ...(direction?.length === 1 ? { direction: direction[0] as 'ingress' | 'egress' } : {}),
    ...(reason === undefined ? {} : { reasons: reason }),
    ...(since === undefined ? {} : { sinceMs: since }),
  };
}

export function formatDrops(
  { drops, lost }: DropsAnswer,
  examples: number,
  isAudit = false,
): string {
  if (drops.length === 0)
    return isAudit ? 'nothing of the kind passed by audit' : 'nothing of the kind was dropped';
  const table = formatFitted(
    [
      { title: 'packets', align: 'right' },
      { title: 'interface', min: 12 },
      { title: 'direction' },
      { title: 'reason' },
      { title: 'meaning', min: 10 },
    ],
    drops.map((drop) => [
      formatCount(drop.packets),
      drop.interface,
      drop.direction,
      drop.reason,
      drop.meaning,
    ]),
  );
  const parts = [table, ...drops.flatMap((drop) => exampleLines(drop, examples))];
  if (lost > 0)
    parts.push(
      paint(`lost ${countOf(lost, 'event', formatCount(lost))}: examples may be missing`, 'yellow'),
    );
  return parts.join('\n\n');
}

function exampleLines(
  { interface: name, direction, reason, examples, nearest }: DropCount,
  most: number,
): string[] {
  const shown = examples.slice(0, most);
  if (shown.length === 0) return [];
  const width = terminalColumns() ?? Infinity;
  const lines = shown.map((example) => {
    const { id, timeMs, rule } = example;
    const what = verdictText(example);
    const by = example.verdict === 'audited' ? 'passes by' : 'of a flow by';
    const of = rule === undefined ? '' : `  (${by} ${rule.id})`;
    return cut(printable(`  #${id}  ${formatAgo(timeMs)}  ${what}${of}`), width);
  });
  if (nearest !== undefined)
    lines.push(
      cut(
        printable(
          `  nearest rule: sg:${nearest.rule.group.name} ${nearest.rule.text}; it ${nearest.text}`,
        ),
        width,
      ),
    );
  return [[paint(printable(`${name} ${direction}, ${reason}:`), 'bold'), ...lines].join('\n')];
}
