/** `sgctl explain FILE QUESTION`: who may reach whom, which rule says so, and what was nearly right. */
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { DropId } from './explain-drop.ts';
import type { ExplainOptions } from './explain-options.ts';
import { addSocketOptions } from './socket.ts';
import { INPUT_ARGUMENT } from './input-words.ts';
import { exitCodeHelp } from './exit-codes.ts';

/** A number as `sgctl drops` shows it, `17` or `#17`, or `last`. */
function parseDropId(text: string): DropId {
  if (text === 'last') return text;
  if (!/^#?[1-9]\d{0,14}$/.test(text))
    throw new InvalidArgumentError('Write the number that sgctl drops shows, or last.');
  return Number(text.replace('#', ''));
}

export function addExplainCommand(program: Command): void {
  const explain = program
    .command('explain')
    .summary('tell which rule lets a packet through, or why none does')
    .description(
      'Asks both gates of a configuration about the first packet of a flow, and tells the verdict, the rule that decided with its file and line, the other rules that admit it, and, if it is refused, which rules came near and what they lack. Reads the file alone, or asks the running daemon (--live); changes nothing.',
    )
    .argument('[file]', `${INPUT_ARGUMENT}; left out with --live, --lab or --socket`)
    .argument('[question]', "the question in one: 'web -> db tcp 5432'")
    .option('--from <end>', 'who sends')
    .option('--to <end>', 'who receives')
    .option('--tcp <port>', 'TCP, to this port')
    .option('--udp <port>', 'UDP, to this port')
    .option('--icmp <message>', 'ICMP: echo, or TYPE or TYPE/CODE')
    .option('--icmpv6 <message>', 'ICMPv6: echo, or TYPE or TYPE/CODE')
    .option('--protocol <number>', 'any other protocol')
    .option('--source-port <port>', 'the port it is sent from; untracked flows may depend on it')
    .addOption(new Option('--family <family>', 'ask about one family').choices(['4', '6']))
    .option('--json', 'print the explanation as JSON on stdout')
    .option('--live', 'ask the running daemon, and tell which connections there are')
    .option(
      '--drop <number>',
      'a packet that the running daemon dropped: its number in `sgctl drops`, or last',
      parseDropId,
    )
    .addHelpText(
      'after',
      `
An end is an interface, by its key, its id, an address of it or the namespace of
its device; or any other address, which is then outside. outside:10.0.0.11 is
that address as a stranger would forge it.

An end may stand for several: a security group, by name or id, for the interfaces
it is on; a CIDR block for the interfaces in it, and for one address of each part
that rules tell apart; internet (or stranger) for anybody outside. Then there is
a table of all pairs and an explanation of each; --json prints a list of them. A
name that an interface and a group have is the interface; sg:NAME is the group.

${exitCodeHelp('sgctl explain')}

Examples:
  sgctl explain config/demo.yaml 'eni-web-1 -> eni-db-1 tcp 5432'
  sgctl explain config/demo.yaml --from 198.51.100.7 --to sgd-web --tcp 443
  sgctl explain config/demo.yaml 'sgd-web -> sgd-app icmp echo' --json | jq .verdict
  sgctl explain config/demo.yaml 'sg:app -> sg:db tcp 5432'
  sgctl explain --lab demo 'eni-web-1 -> eni-app-1 tcp 8080'
  sgctl explain --drop last`,
    );
  addSocketOptions(explain).action(
    async (
      file: string | undefined,
      question: string | undefined,
      options: ExplainOptions,
      command: Command,
    ) => {
      if (options.drop !== undefined) {
        if (file !== undefined) command.error('error: --drop is a question by itself');
        const { explainSeenDrop } = await import('./explain-drop.ts');
        process.exitCode = await explainSeenDrop(options.drop, options);
        return;
      }
      const { explainFile, explainLive } = await import('./explain-file.ts');
      const isLive =
        options.live === true || options.lab !== undefined || options.socket !== undefined;
      process.exitCode = isLive
        ? await explainLive(file ?? question, options, command)
        : await explainFile(file, question, options, command);
    },
  );
}
